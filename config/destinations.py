"""Where results go: objects to archives and folders, messages to other systems."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from config.agree import is_loopback
from config.table import Table

DestinationKind = Literal["dicom", "stow", "folder", "hl7", "fhir", "webhook"]
ObjectKind = Literal["sr", "sc", "kos"]
SRClass = Literal["comprehensive3d", "comprehensive", "enhanced"]
Commitment = Literal["off", "wanted", "required"]
ReadBack = Literal["off", "c-find", "qido"]
HL7Version = Literal["2.3.1", "2.4", "2.5", "2.5.1", "2.6"]
IdentifierSystem = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")]
# Of HL7 table 0211.
HL7Charset = Literal["UNICODE UTF-8", "8859/1", "KS X 1001"]

OBJECT_DESTINATIONS: Final = frozenset({"dicom", "stow", "folder"})
HTTP_DESTINATIONS: Final = frozenset({"stow", "fhir", "webhook"})
_TLS_BY_FLAG: Final = frozenset({"dicom", "hl7"})
_READ_BACK_OF: Final = {"c-find": "dicom", "qido": "stow"}
# Settings that say nothing to the other kinds.
_ONLY_FOR: Final = {
    "folder": frozenset({"folder"}),
    "ae_title": frozenset({"dicom"}),
    "host": frozenset({"dicom", "hl7"}),
    "port": frozenset({"dicom", "hl7"}),
    "tls": _TLS_BY_FLAG,
    "url": HTTP_DESTINATIONS,
    "token_file": HTTP_DESTINATIONS,
    "username": HTTP_DESTINATIONS,
    "passcode_file": HTTP_DESTINATIONS,
    "secret_file": frozenset({"webhook"}),
    "objects": OBJECT_DESTINATIONS,
    "sr_classes": OBJECT_DESTINATIONS,
    "commitment": frozenset({"dicom"}),
    "commitment_seconds": frozenset({"dicom"}),
    "commitment_requests": frozenset({"dicom"}),
    "read_back": frozenset({"dicom", "stow"}),
    "patient_id_systems": frozenset({"fhir"}),
    "accession_systems": frozenset({"fhir"}),
    "patient_identity": frozenset({"webhook"}),
    "receiving_application": frozenset({"hl7"}),
    "receiving_facility": frozenset({"hl7"}),
    "version": frozenset({"hl7"}),
    "charset": frozenset({"hl7"}),
    "ack_seconds": frozenset({"hl7"}),
}
_NEEDS: Final = {
    "dicom": ("ae_title", "host", "port"),
    "stow": ("url",),
    "folder": ("folder",),
    "hl7": ("host", "port"),
    "fhir": ("url",),
    "webhook": ("url", "secret_file"),
}


class DestinationTable(Table):
    """Where results go.

    Args:
        objects: what of a result an archive or a folder gets.
        commitment: of kind "dicom", Storage Commitment: "wanted" asks and is content
            without an answer, "required" is done only when it is committed.
        commitment_seconds: how long an answer is waited for before it is asked again.
        commitment_requests: how often it is asked.
        read_back: whether the object is looked for at the destination afterwards.
        url: of an HTTP kind: the DICOMweb service, the FHIR base, the webhook.
        token_file: holds the bearer token of an HTTP kind, readable by this user only.
        username: of an HTTP kind, with the passcode in `passcode_file`.
        secret_file: what a webhook is signed with, readable by this user only.
        patient_id_systems: of kind "fhir", the URI of each issuer's Patient IDs, by the
            issuer's name; "" for images that name none.
        accession_systems: the same of Accession Numbers.
        patient_identity: of kind "webhook", whether it is told whose study it is.
        ack_seconds: how long an HL7 acknowledgement is waited for.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: DestinationKind = "dicom"
    ae_title: str = ""
    host: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    folder: Path | None = None
    url: str = ""
    objects: tuple[ObjectKind, ...] = ("sr", "sc")
    sr_classes: tuple[SRClass, ...] = ("comprehensive3d", "comprehensive", "enhanced")
    send_not_evaluated: bool = False
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    commitment: Commitment = "off"
    commitment_seconds: Annotated[float, Field(gt=0)] = 600.0
    commitment_requests: Annotated[int, Field(ge=1, le=100)] = 3
    read_back: ReadBack = "off"
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    token_file: Path | None = None
    username: str = ""
    passcode_file: Path | None = None
    secret_file: Path | None = None
    patient_id_systems: dict[str, IdentifierSystem] = Field(default_factory=dict)
    accession_systems: dict[str, IdentifierSystem] = Field(default_factory=dict)
    patient_identity: bool = False
    receiving_application: Annotated[str, Field(max_length=180)] = ""
    receiving_facility: Annotated[str, Field(max_length=180)] = ""
    version: HL7Version = "2.5.1"
    charset: HL7Charset = "UNICODE UTF-8"
    ack_seconds: Annotated[float, Field(gt=0)] = 30.0

    @field_validator("sr_classes", "objects")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("name each one once, at least one")
        return value

    @model_validator(mode="after")
    def _address(self) -> "DestinationTable":
        missing = [key for key in _NEEDS[self.kind] if not getattr(self, key)]
        if missing:
            needs = _listed(_NEEDS[self.kind])
            raise ValueError(f"kind '{self.kind}' needs {needs}")
        if len(self.ae_title) > 16 or "\\" in self.ae_title:
            raise ValueError("ae_title takes 1 to 16 characters without backslash")
        for key in sorted(self.model_fields_set & _ONLY_FOR.keys()):
            if self.kind not in _ONLY_FOR[key]:
                kinds = _listed([f"'{kind}'" for kind in sorted(_ONLY_FOR[key])])
                raise ValueError(f"{key} is for kind {kinds}")
        return self

    @model_validator(mode="after")
    def _tls(self) -> "DestinationTable":
        named = self.ca or self.certificate or self.private_key
        secure = self.tls or urlsplit(self.url).scheme == "https"
        if named and not secure:
            raise ValueError(
                "ca, certificate and private_key need tls = true, or an https url"
            )
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        return self

    @model_validator(mode="after")
    def _http(self) -> "DestinationTable":
        for fault in self._http_faults():
            raise ValueError(fault)
        return self

    def _http_faults(self) -> Iterator[str]:
        if bool(self.username) != (self.passcode_file is not None):
            yield "username and passcode_file go together"
        if self.username and self.token_file:
            yield "token_file and username exclude one another"
        if not self.url:
            return
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            yield "url is not one: write https://host:port/path"
            return
        if parts.scheme not in ("http", "https") or not host:
            yield "url is written https://host:port/path"
        elif parts.username or parts.password:
            yield "url holds a user: use username and passcode_file"
        elif parts.query or parts.fragment:
            yield "url takes no ? and no #"
        elif (
            parts.scheme == "http"
            and (self.token_file or self.username)
            and not is_loopback(host)
        ):
            yield "a token or passcode leaves this machine over https only"

    @model_validator(mode="after")
    def _proof(self) -> "DestinationTable":
        if self.read_back != "off" and _READ_BACK_OF[self.read_back] != self.kind:
            kind = _READ_BACK_OF[self.read_back]
            raise ValueError(f"read_back '{self.read_back}' is for kind '{kind}'")
        return self


def _listed(names: "tuple[str, ...] | list[str]") -> str:
    """Join names as a sentence does."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
