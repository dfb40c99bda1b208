"""What is kept of an association."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedContext:
    """One presentation context that was offered and not accepted."""

    sop_class_uid: str
    transfer_syntax_uids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRecord:
    """Who called, what was offered and refused, and what came of it.

    Args:
        tls_version: e.g. "TLSv1.3"; "" without TLS.
        certificate_subject: of the caller's certificate (RFC 4514), "" without one.
    """

    at: datetime
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    accepted: bool
    reason: str = ""
    refused_contexts: tuple[RefusedContext, ...] = ()
    instances: int = 0
    refused_instances: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    tls_version: str = ""
    certificate_subject: str = ""
