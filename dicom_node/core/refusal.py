"""An instance that was refused: what people read to learn why it is not here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

# Of one association; how many more there were stands in its own record.
TOLD_PER_ASSOCIATION: Final = 100
# Of files in quarantine. The first was acknowledged: its row stays, without a file.
SHORTER_THAN_RECEIVED: Final = "the file on the disk is shorter than what was received"
FOUND_UNUSABLE: Final = "a file was found on the disk that cannot be used"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedInstance:
    """An instance that the node did not take.

    Args:
        calling_ae_title: "" for a file that was found after a crash.
        sop_class_uid, transfer_syntax_uid, sop_instance_uid: as the command set says;
            "" where they are not UIDs.
        study_instance_uid, accession_number: "" where the header was not read so far.
        status: of the C-STORE-RSP (PS3.4 B.2.3).
        reason: a fixed text of the node; no value of the data set.
        size_bytes: of the data set, as far as it came.
    """

    at: datetime
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    accession_number: str
    status: int
    reason: str
    size_bytes: int


_FULL: Final = (
    "nothing, if the sender tries again by itself; else make room on the node's disk "
    "or mend its database, which the page Health names, and have the image sent again"
)
_OTHER_OBJECT: Final = (
    "the sender announces another object than it sends: have its maker mend that, or "
    "send the image from the archive"
)
_OUR_FAULT: Final = (
    "send the image again; if that fails too, the node's log has the class of the error"
)
_LIMIT: Final = (
    "if the image is as it should be, raise the limit in [receive] of the node's "
    "configuration, restart it and send the image again"
)
_TOO_MUCH: Final = (
    "correct the image where it was made: no setting takes one that asks for so much; "
    "other images of the study are not affected"
)
_DAMAGED: Final = (
    "send the image again: it was damaged on its way or where it came from; if the "
    "same comes, export it anew from its source"
)
_NO_UID: Final = (
    "correct the identifiers where the image was made: without valid UIDs no result "
    "can refer to it; other images of the study are not affected"
)
_CONTRADICTS: Final = (
    "correct the image where it was made, its header contradicts its pixels; other "
    "images of the study are not affected"
)
_LOST: Final = (
    "send the image again: a power cut or a failing disk took it after it had been "
    "received; check the disk"
)
_FOUND: Final = (
    "send the study again if the image is missing; the file stays in the folder "
    "quarantine of the node until somebody removes it"
)
_AT_THE_SOURCE: Final = (
    "correct the image where it was made and send it again; other images of the study "
    "are not affected"
)
# What a text says, and what then helps; the first that fits counts.
_BY_REASON: Final = (
    (SHORTER_THAN_RECEIVED, _LOST),
    (FOUND_UNUSABLE, _FOUND),
    ("UID", _NO_UID),
    ("a frame would be larger", _TOO_MUCH),
    ("too many", _TOO_MUCH),
    ("takes too long", _TOO_MUCH),
    ("the limit", _LIMIT),
    ("max_element_bytes", _LIMIT),
    ("too deep", _LIMIT),
    ("Rows or Columns", _CONTRADICTS),
    ("Bits Allocated", _CONTRADICTS),
    ("Samples per Pixel", _CONTRADICTS),
    ("Number of Frames", _CONTRADICTS),
    ("shorter than", _DAMAGED),
    ("cut off", _DAMAGED),
    ("not deflated", _DAMAGED),
    ("malformed", _DAMAGED),
    ("no data set", _DAMAGED),
    ("as long as it was", _DAMAGED),
)
REMEDIES: Final = frozenset(
    (
        *(_FULL, _OTHER_OBJECT, _OUR_FAULT, _AT_THE_SOURCE),
        *(remedy for _, remedy in _BY_REASON),
    )
)


def remedy_of(status: int, reason: str) -> str:
    """Say what helps an instance that was refused.

    Args:
        status, reason: of `RefusedInstance`.

    Source: PS3.4 B.2.3 (0xA7xx out of resources, 0xA9xx does not match, 0xCxxx cannot
    understand).
    """
    if status >> 8 == 0xA7:
        return _FULL
    if status >> 8 == 0xA9:
        return _OTHER_OBJECT
    if status >> 12 != 0xC:
        return _OUR_FAULT
    for part, remedy in _BY_REASON:
        if part in reason:
            return remedy
    return _AT_THE_SOURCE
