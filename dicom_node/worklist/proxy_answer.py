"""What the node adds to an answer of the hospital's worklist.

The order's own values stay: a priority is raised, never lowered, and text is appended.
An answer that cannot be read, or that nothing is known of, goes on as it came.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.valuerep import TEXT_VR_DELIMS

from config.proxy import ProxyTable
from dicom_node.core.states import Urgency
from dicom_node.part10.reading import UNREADABLE, hushed
from dicom_node.worklist.priority import never_below
from dicom_node.worklist.proxy_messages import EXPLICIT_VR_LITTLE_ENDIAN
from dicom_node.worklist.proxy_splice import (
    NotUnderstood,
    read_elements,
    splice,
    values_of,
)

_CHARACTER_SET: Final = 0x00080005
_ACCESSION_NUMBER: Final = 0x00080050
_PATIENT_ID: Final = 0x00100020
_ISSUER: Final = 0x00100021
_STUDY_INSTANCE_UID: Final = 0x0020000D
_PRIORITY: Final = 0x00401003
# Requested Procedure Comments and Reason for the Requested Procedure (PS3.3 C.4.11):
# tag, VR and the most characters of a value (PS3.5 table 6.2-1).
_TEXTS: Final = {
    "comments": (0x00401400, b"LT", 10240),
    "reason": (0x00401002, b"LO", 64),
}
_UTF_8: Final = b"ISO_IR 192"

Values = Mapping[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OrderKey:
    """What tells which study an answer is about; "" for what it does not say."""

    study_instance_uid: str
    accession_number: str
    patient_id: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the node suggests for a study, and which model says so."""

    urgency: Urgency
    reason: str
    model: str
    model_version: str

    @property
    def text(self) -> str:
        """In a sentence for the reading list."""
        version = f"{self.model} {self.model_version}".strip()
        return f"AI suggests {self.urgency}: {self.reason} ({version})"


Advise = Callable[[OrderKey], Advice | None]


class Enricher:
    """Adds the node's advice to encoded answers."""

    def __init__(self, table: ProxyTable, advise: Advise) -> None:
        self._always = table.add == "always"
        self._texts = tuple(_TEXTS[name] for name in table.reason_in)
        self._advise = advise

    def asked_for(self, identifier: bytes, transfer_syntax: str) -> frozenset[int]:
        """Return the tags of a query to whose answers something may be added."""
        mine = {_PRIORITY, *(tag for tag, _, _ in self._texts)}
        if self._always:
            return frozenset(mine)
        try:
            elements = read_elements(identifier, explicit=_explicit(transfer_syntax))
        except NotUnderstood:
            return frozenset()
        return frozenset(mine.intersection(one.tag for one in elements))

    def enrich(
        self, identifier: bytes, transfer_syntax: str, wanted: frozenset[int]
    ) -> bytes:
        """Return the answer with the advice in it, or as it came."""
        if not wanted:
            return identifier
        explicit = _explicit(transfer_syntax)
        try:
            values = values_of(identifier, read_elements(identifier, explicit=explicit))
            with hushed():
                advice = self._advise(_order_key(values))
                if advice is None:
                    return identifier
                changes = self._changes(values, advice, wanted)
            return splice(identifier, changes, explicit=explicit)
        except (NotUnderstood, *UNREADABLE):
            return identifier

    def _changes(
        self, values: Values, advice: Advice, wanted: frozenset[int]
    ) -> dict[int, tuple[bytes, bytes]]:
        changes = {}
        if _PRIORITY in wanted:
            own = _ascii(values.get(_PRIORITY, b""))
            raised = never_below(own, advice.urgency)
            if raised != own:
                changes[_PRIORITY] = (b"SH", raised.encode("ascii"))
        for tag, vr, longest in self._texts:
            if tag in wanted:
                text = _appended(values, tag, advice.text, longest)
                if text is not None:
                    changes[tag] = (vr, text)
        return changes


def transcode(encoded: bytes, source: str, target: str) -> bytes:
    """Encode a data set in another transfer syntax.

    Raises:
        NotUnderstood: it cannot be read.
    """
    if source == target:
        return encoded
    try:
        with hushed():
            dataset = read_dataset(BytesIO(encoded), not _explicit(source), True)
            written = DicomBytesIO()
            written.is_implicit_VR = not _explicit(target)
            written.is_little_endian = True
            write_dataset(written, dataset)
            return written.getvalue()
    except UNREADABLE:
        raise NotUnderstood("a data set cannot be encoded anew") from None


def _explicit(transfer_syntax: str) -> bool:
    return transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN


def _order_key(values: Values) -> OrderKey:
    encodings = _encodings(values)

    def text(tag: int) -> str:
        raw = values.get(tag, b"")
        decoded = decode_bytes(raw, encodings, TEXT_VR_DELIMS) if raw else ""
        return decoded.strip(" \0")

    return OrderKey(
        study_instance_uid=text(_STUDY_INSTANCE_UID),
        accession_number=text(_ACCESSION_NUMBER),
        patient_id=text(_PATIENT_ID),
        issuer=text(_ISSUER),
    )


def _encodings(values: Values) -> list[str]:
    terms = _ascii(values.get(_CHARACTER_SET, b"")).split("\\")
    return convert_encodings([term.strip() for term in terms])


def _appended(values: Values, tag: int, text: str, longest: int) -> bytes | None:
    """Append the text to what is there; None if there is no room for any of it."""
    own = values.get(tag, b"").rstrip(b" \0")
    encodings = _encodings(values)
    used = len(decode_bytes(own, encodings, set())) + 2 if own else 0
    room = longest - used
    if room < len("AI suggests STAT"):
        return None
    short = text if len(text) <= room else text[: room - 3] + "..."
    # LO has values, which a backslash parts (PS3.5 6.2); LT may be read so, too.
    encoded = _encode(short.replace("\\", "/"), encodings)
    return own + b"; " + encoded if own else encoded


def _encode(text: str, encodings: list[str]) -> bytes:
    """Encode in the answer's character set, or as near to it as ASCII comes."""
    if not text.isascii():
        try:
            if encodings == ["utf8"]:
                return text.encode("utf-8")
            return bytes(encode_string(text, encodings))
        except UNREADABLE:
            text = unicodedata.normalize("NFKD", text)
    return text.encode("ascii", "replace")


def _ascii(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")
