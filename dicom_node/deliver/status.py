"""What a C-STORE status says about the object and about trying again."""

from dataclasses import dataclass
from typing import Final

SUCCESS: Final = 0x0000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMeaning:
    """What follows from a status.

    Args:
        taken: the peer has the object (success or a warning).
        retryable: not taken, and the same object may be taken later.
        text: what the peer says, as the end of the sentence "the PACS ...".
    """

    taken: bool
    retryable: bool
    text: str


_EXACT: Final[dict[int, tuple[bool, str]]] = {
    0x0110: (True, "failed while it processed the object: see its log"),
    0x0111: (False, "says that it already has an object with this UID"),
    0x0117: (False, "calls the object's UID invalid: see its log"),
    0x0122: (False, "does not store this SOP class: allow it there"),
    0x0124: (False, "does not let this node store: allow its AE title there"),
    0x0210: (False, "calls the message a duplicate: see its log"),
    0x0211: (False, "does not know C-STORE: is it a storage SCP?"),
    0x0212: (False, "calls the message mistyped: see its log"),
    0x0213: (True, "is out of resources for now"),
}
_BY_CLASS: Final[dict[int, tuple[bool, str]]] = {
    0xA7: (True, "is out of resources: make room there"),
    0xA9: (False, "says that the data set does not match its SOP class"),
}
_OBJECT_REFUSED: Final = (0x0122, 400, 409, 415)


def read_status(status: int) -> StatusMeaning:
    """Read a C-STORE-RSP status; an unknown one is a failure not to be retried.

    Source: PS3.4 B.2.3, PS3.7 9.1.1.1.9 and annex C.
    """
    code = f"(status 0x{status:04X})"
    if status == SUCCESS:
        return StatusMeaning(taken=True, retryable=False, text="stored it")
    if 0xB000 <= status <= 0xBFFF:
        text = f"stored it with a warning {code}"
        return StatusMeaning(taken=True, retryable=False, text=text)
    unknown = (False, "refuses it with a status that C-STORE does not have")
    retryable, text = _EXACT.get(status) or _BY_CLASS.get(status >> 8, unknown)
    if 0xC000 <= status <= 0xCFFF:
        text = "cannot understand the object: see its log"
    return StatusMeaning(taken=False, retryable=retryable, text=f"{text} {code}")


def cannot_store(status: int) -> bool:
    """Say whether a C-STORE or STOW-RS status refuses this very object for good.

    Whoever answered so does not have it, and may take one of another SOP class.

    Source: PS3.4 B.2.3; PS3.18 10.5.3 (400, 409, 415).
    """
    return (
        status in _OBJECT_REFUSED or status >> 8 == 0xA9 or 0xC000 <= status <= 0xCFFF
    )
