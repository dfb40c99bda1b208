"""The page, its API, health and metrics over HTTP."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from config.agree import is_loopback
from config.table import Table, TextList


class WebTable(Table):
    """The page, its API, health and metrics over HTTP; port 0 is off.

    Args:
        token_file: holds the bearer token that /metrics and the details of /readyz
            ask for; must be there when the host is not loopback.
        certificate: of this host, PEM; with `private_key` the port speaks HTTPS.
        behind_proxy: TLS ends at a proxy, whose X-Forwarded-For is believed; then a
            login is needed on loopback, too.
        names: by which browsers call the page, beside addresses of this machine.
        session_idle_minutes: a login ends after so long without a request.
        session_hours: a login ends after so long whatever is done.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    token_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    behind_proxy: bool = False
    names: TextList = ()
    session_idle_minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0
    session_hours: Annotated[float, Field(gt=0, le=168)] = 12.0

    @property
    def login_required(self) -> bool:
        """Whether others than this machine's users reach the page."""
        return self.behind_proxy or not is_loopback(self.host)

    @property
    def secure(self) -> bool:
        """Whether browsers speak HTTPS with the page."""
        return self.behind_proxy or self.certificate is not None

    @field_validator("names")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not name or set(name) & set("/@ ") or (":" in name and not _is_ip(name)):
                raise ValueError("names are those of hosts, without port and path")
        return tuple(name.lower().rstrip(".") for name in value)

    @model_validator(mode="after")
    def _tls(self) -> "WebTable":
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        return self


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
