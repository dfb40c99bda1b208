"""What TLS has to be here, for callers and for destinations alike: BCP 195.

Source: PS3.15 B.12 (BCP 195: RFC 8996, RFC 9325).
"""

import os
import re
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dicom_node.core.errors import ConfigError

# RFC 9325 4.2 for TLS 1.2: forward secrecy and AEAD; level 2 asks of a certificate and
# of a finite field 2048 bits at least, of a curve 224, of which none below 253 is left.
# TLS 1.3 has suites of its own, all of them good.
CIPHERS: Final = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
EXPIRY_WARNING_DAYS: Final = 30

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)
_NO_CERTIFICATE: Final = "holds no certificate in PEM"
_UTC_TIME: Final = 0x17
_CONTEXT_0: Final = 0xA0
_OTHERS: Final = stat.S_IRWXO
_GROUP_AND_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class UnusableFile(ConfigError):
    """A file that a setting names cannot be used.

    Args:
        setting: which names it.
        fault: what is wrong with it.
        remedy: what to do, "" where the fault says so.

    Attributes:
        reason: the text without the path, for logs.
    """

    def __init__(self, setting: str, path: Path, fault: str, remedy: str = "") -> None:
        super().__init__(f"{setting}: {path} {fault}" + (remedy and f": {remedy}"))
        self.reason = f"{setting} {fault}"


def reason_of(error: ConfigError) -> str:
    """Return why TLS files cannot be used, without a path."""
    return error.reason if isinstance(error, UnusableFile) else str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """PEM files of one side of a connection.

    Args:
        ca: who signs the other side's certificates.
        certificate: ours, with the chain that the other side needs.
        private_key: of the certificate, without passphrase.
        where: the settings that name them, as "tls" or "destination 'pacs'".
    """

    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    where: str = "tls"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are named."""
        named = (self.ca, self.certificate, self.private_key)
        return tuple(path for path in named if path is not None)


def outgoing_context(files: TLSFiles) -> ssl.SSLContext:
    """Make the context of connections that this node opens.

    The other side's certificate has to be signed by `ca`, or without one by an
    authority of the system, and be made for the host that is called.

    Raises:
        ConfigError: a file cannot be used; names the setting and the remedy.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and chains
    apply_profile(context)
    if files.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    load_files(context, files)
    return context


def apply_profile(context: ssl.SSLContext) -> None:
    """Allow what BCP 195 allows: TLS 1.2 and 1.3, no compression or renegotiation."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # An intermediate authority alone is a good `ca`, too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def load_files(context: ssl.SSLContext, files: TLSFiles) -> None:
    """Load what is named into a context.

    Raises:
        ConfigError: a file cannot be used; names the setting and the remedy.
    """
    if files.ca is not None:
        _load_ca(context, files.ca, f"{files.where}: ca")
    if (files.certificate is None) != (files.private_key is None):
        raise ConfigError(f"{files.where}: certificate and private_key go together")
    if files.certificate is None or files.private_key is None:
        return
    check_readable(files.certificate, f"{files.where}: certificate")
    check_private(files.private_key, f"{files.where}: private_key")
    try:
        context.load_cert_chain(
            files.certificate, files.private_key, password=_no_passphrase
        )
    except ConfigError:
        raise ConfigError(
            f"{files.where}: private_key has a passphrase: take it away with "
            "`openssl pkey -in OLD -out NEW`, and keep the file readable by this user "
            "only"
        ) from None
    except ssl.SSLError as error:
        raise ConfigError(f"{files.where}: {_explain_pair(error)}") from None
    except OSError as error:
        raise ConfigError(
            f"{files.where}: certificate or private_key cannot be read "
            f"({type(error).__name__})"
        ) from None


def check_private(path: Path, setting: str) -> None:
    """Refuse a secret's file that others than this user may read.

    One of root may be readable by a group, as secrets that an orchestrator mounts are.

    Raises:
        ConfigError: it is not there, or too open; the text has the remedy.
    """
    check_readable(path, setting)
    found = path.stat()
    of_root = found.st_uid == 0 and os.geteuid() != 0
    if found.st_mode & (_OTHERS if of_root else _GROUP_AND_OTHERS):
        remedy = f"chmod 600 {path}"
        raise UnusableFile(setting, path, "is readable by others", remedy)


def check_readable(path: Path, setting: str) -> None:
    """Refuse a file that this user cannot read.

    Raises:
        ConfigError: it is not there or may not be read.
    """
    try:
        with path.open("rb"):
            return
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
        remedy = "name a file that this user may read"
        raise UnusableFile(setting, path, fault, remedy) from None


def expiries(path: Path, setting: str) -> tuple[datetime, ...]:
    """Return until when each certificate of a PEM file is valid, in its order.

    Raises:
        ConfigError: there is no certificate in it.
    """
    check_readable(path, setting)
    try:
        found = tuple(
            _not_after(ssl.PEM_cert_to_DER_cert(block.decode("ascii")))
            for block in _CERTIFICATE.findall(path.read_bytes())
        )
    except (ValueError, IndexError):
        found = ()
    if not found:
        raise UnusableFile(setting, path, _NO_CERTIFICATE)
    return found


def _load_ca(context: ssl.SSLContext, path: Path, setting: str) -> None:
    check_readable(path, setting)
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        raise UnusableFile(setting, path, _NO_CERTIFICATE) from None


def _no_passphrase() -> str:
    """Stop OpenSSL from asking on the terminal."""
    raise ConfigError("the key has a passphrase")


def _explain_pair(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "private_key is not the key of certificate"
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
        return (
            "certificate is too weak: it takes 2048 bits of RSA or a curve of 256, "
            "and SHA-256"
        )
    return "certificate and private_key have to be PEM files of a pair"


def _not_after(certificate: bytes) -> datetime:
    """Return the end of a certificate's validity.

    Source: RFC 5280 4.1.
    """
    ((_, body),) = _elements(certificate)
    tbs = next(_elements(body))[1]
    fields = [item for item in _elements(tbs) if item[0] != _CONTEXT_0]
    validity = fields[3][1]  # after serial number, signature algorithm and issuer
    kind, text = list(_elements(validity))[1]
    digits = text.decode("ascii")
    if kind == _UTC_TIME:  # years below 50 are of this century
        digits = ("20" if digits[:2] < "50" else "19") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the (tag, content) of DER elements, without going into them."""
    position = 0
    while position < len(der):
        tag, length = der[position], der[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[position : position + size], "big")
            position += size
        yield tag, der[position : position + length]
        position += length
