"""The worklist proxy: the hospital's worklist with the node's priority in it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from config.table import AETitle, Table

ReasonKey = Literal["comments", "reason"]


class ProxyTable(Table):
    """A Modality Worklist SCP that asks the hospital's and adds to its answers.

    Args:
        port: without one there is no proxy; 0 is any free one.
        ae_title: by which the proxy is called.
        upstream_host, upstream_port, upstream_ae_title: of the hospital's worklist.
        calling_ae_title: how the proxy calls upstream; "": as its own caller.
        timeout_seconds: longest wait for the connection upstream and for each answer.
        on_failure: what is answered when upstream does not: a failure, or success with
            the answers that came until then.
        add: "asked" adds to those attributes only that a query has as return keys.
        reason_in: where the reason is appended, Requested Procedure Comments or Reason
            for the Requested Procedure.
        max_answers: to one query; more are cut off with 0xA700.
        max_associations: at once; more are turned away.
    """

    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    host: str = "127.0.0.1"
    ae_title: AETitle = "AIWORKLIST"
    upstream_host: str = ""
    upstream_port: Annotated[int, Field(ge=0, le=65535)] = 0
    upstream_ae_title: str = ""
    calling_ae_title: str = ""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    on_failure: Literal["fail", "empty"] = "fail"
    add: Literal["asked", "always"] = "asked"
    reason_in: tuple[ReasonKey, ...] = ("comments",)
    max_answers: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    max_associations: Annotated[int, Field(ge=1, le=200)] = 16

    @field_validator("upstream_ae_title", "calling_ae_title")
    @classmethod
    def _title(cls, value: str) -> str:
        if len(value) > 16 or not value.isascii() or "\\" in value:
            raise ValueError("an AE title takes up to 16 ASCII characters")
        return value

    @model_validator(mode="after")
    def _upstream(self) -> "ProxyTable":
        named = self.upstream_host and self.upstream_port and self.upstream_ae_title
        if self.port is not None and not named:
            raise ValueError(
                "a proxy needs upstream_host, upstream_port and upstream_ae_title"
            )
        return self
