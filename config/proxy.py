"""The worklist proxy: the hospital's worklist with the node's priority in it."""

from collections.abc import Iterator
from pathlib import Path
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
        tls: the port speaks DICOM TLS, with `certificate`, `private_key` and `ca`, who
            signs the callers' certificates; [[peers]] say which are let in.
        client_certificate: "none" lets in callers without one.
        upstream_tls: the hospital's worklist is called over TLS; its certificate is
            checked against `upstream_ca`, or the authorities of the system.
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
    tls: bool = False
    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    client_certificate: Literal["required", "none"] = "required"
    upstream_tls: bool = False
    upstream_ca: Path | None = None
    upstream_certificate: Path | None = None
    upstream_private_key: Path | None = None

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

    @model_validator(mode="after")
    def _tls(self) -> "ProxyTable":
        for fault in self._tls_faults():
            raise ValueError(fault)
        return self

    def _tls_faults(self) -> Iterator[str]:
        if self.tls and (self.certificate is None or self.private_key is None):
            yield "tls needs certificate and private_key"
        if self.tls and self.ca is None and self.client_certificate == "required":
            yield (
                "tls needs ca, who signs the callers' certificates; or set "
                'client_certificate = "none"'
            )
        if not self.tls and (self.certificate or self.private_key or self.ca):
            yield "certificate, private_key and ca need tls = true"
        pair = (self.upstream_certificate, self.upstream_private_key)
        if (pair[0] is None) != (pair[1] is None):
            yield "upstream_certificate and upstream_private_key go together"
        if not self.upstream_tls and (self.upstream_ca or any(pair)):
            yield "upstream_ca and upstream_certificate need upstream_tls = true"
