"""Whether the hospital's worklist answers the proxy."""

from typing import Final

from dicom_node.worklist.proxy_messages import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    UpstreamError,
)
from dicom_node.worklist.proxy_upstream import Query, Upstream, UpstreamPeer, Wish

# An Accession Number (0008,0050) that no order has.
_NOBODY: Final = b"AINODE-CHECK"
_EXPLICIT: Final = b"\x08\x00\x50\x00SH\x0c\x00" + _NOBODY
_IMPLICIT: Final = b"\x08\x00\x50\x00\x0c\x00\x00\x00" + _NOBODY
_SUCCESS: Final = 0x0000
_CANCELLED: Final = 0xFE00


def ask_for_nobody(peer: UpstreamPeer) -> None:
    """Query for an order that does not exist.

    Raises:
        UpstreamError: it did not answer, or with a failure; the text says which.
    """
    answered = False

    def wish() -> Wish:
        # One that does not match returns everything: that is not waited for.
        return Wish.CANCEL if answered else Wish.ANSWERS

    with Upstream(peer, EXPLICIT_VR_LITTLE_ENDIAN) as upstream:
        explicit = upstream.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN
        query = Query(
            message_id=1,
            priority=2,
            identifier=_EXPLICIT if explicit else _IMPLICIT,
            transfer_syntax=upstream.transfer_syntax,
        )
        for response in upstream.find(query, wish):
            answered = True
            if not response.pending and response.status not in (_SUCCESS, _CANCELLED):
                raise UpstreamError(
                    f"it answers a query with the status 0x{response.status:04X}: see "
                    "its log"
                )
