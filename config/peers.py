"""The table [[peers]]: who may call."""

from ipaddress import ip_address, ip_network
from pathlib import Path

from pydantic import field_validator, model_validator

from config.table import AETitle, Table


class PeerTable(Table):
    """Who may call. An entry without host accepts the AE title from anywhere.

    Args:
        host: a name, an address or a range of addresses (10.1.0.0/16).
        certificate_subject: glob over the TLS certificate's subject (RFC 4514,
            CN=ct1,O=Hospital); then only TLS will do.
        username: the user identity to present, over TLS, with the passcode in
            `passcode_file`.
    """

    ae_title: AETitle
    host: str = ""
    certificate_subject: str = ""
    username: str = ""
    passcode_file: Path | None = None

    @field_validator("host")
    @classmethod
    def _range(cls, value: str) -> str:
        if "/" not in value:
            return value
        try:
            whole = ip_network(value, strict=False)
        except ValueError:
            raise ValueError("a range of addresses looks like 10.1.0.0/16") from None
        if str(whole.network_address) != str(ip_address(value.split("/")[0])):
            raise ValueError(f"the range with this address is written {whole}")
        return value

    @model_validator(mode="after")
    def _identity(self) -> "PeerTable":
        if bool(self.username) != (self.passcode_file is not None):
            raise ValueError("username and passcode_file go together")
        return self
