"""Why there is no association, in words, and whether to try again."""

from dataclasses import dataclass
from typing import Final

from pynetdicom.pdu import A_ASSOCIATE_RJ

from dicom_node.deliver.tls import explain_fault

# (result, source, diagnostic) of A-ASSOCIATE-RJ, PS3.8 table 9-21. A wrong AE title
# is a permanent rejection to the standard; an administrator mends it, so try again.
_REJECTED: Final[dict[tuple[int, int], tuple[str, bool]]] = {
    (1, 1): ("without saying why: see its log", True),
    (1, 2): ("because it does not serve DICOM's application context", False),
    (1, 3): (
        "because it does not know this node: allow the calling AE title '{calling}' "
        "and this host there",
        True,
    ),
    (1, 7): (
        "because the called AE title is not recognised: check {called}, upper and "
        "lower case count",
        True,
    ),
    (2, 1): ("without saying why: see its log", True),
    (2, 2): ("because it does not speak this protocol version", False),
    (3, 1): ("because it is congested: it will be tried again", True),
    (3, 2): ("because its limit of associations is reached", True),
}
_PERMANENT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How far a call came.

    Args:
        connected: the connection was there, with TLS its handshake too.
        timed_out: the waiting came to its limit.
        tls: it was to be one with TLS.
        tls_fault: what went wrong with it.
        rejection: the A-ASSOCIATE-RJ that came, if one did. pynetdicom calls a
            rejection an abort if it comes while it still waits for its own socket.
    """

    connected: bool
    timed_out: bool
    tls: bool = False
    tls_fault: OSError | None = None
    rejection: A_ASSOCIATE_RJ | None = None


def explain_refusal(attempt: Attempt) -> tuple[str, bool]:
    """Say why an association was not established.

    Returns:
        the end of a sentence that begins with the peer, with the fields address,
        called, calling, ca, certificate, tls and seconds to be filled in; and whether
        to try again.
    """
    if attempt.tls_fault is not None:
        return explain_fault(attempt.tls_fault), True
    if not attempt.connected and attempt.timed_out:
        return (
            "cannot be reached within {seconds} s: check {address}, the network and "
            "the firewall",
            True,
        )
    if not attempt.connected:
        return (
            "cannot be reached: nothing listens there; start it or check {address}",
            True,
        )
    if (answer := attempt.rejection) is not None:
        key = (int(answer.source or 0), int(answer.reason_diagnostic or 0))
        permanent = int(answer.result or 0) == _PERMANENT
        unknown = ("for a reason the standard does not list: see its log", True)
        reason, retryable = _REJECTED.get(key, unknown)
        return f"refuses the association {reason}", retryable or not permanent
    if attempt.timed_out:
        return (
            "did not answer the association request within {seconds} s: is there a "
            "DICOM service at {address}?",
            True,
        )
    if attempt.tls:
        return (
            "closed the connection instead of answering the association request: check "
            "that it accepts {certificate} and the calling AE title '{calling}'",
            True,
        )
    return (
        "closed the connection instead of answering the association request: check "
        "that {address} is a DICOM port without TLS and that the calling AE title "
        "'{calling}' is allowed there",
        True,
    )
