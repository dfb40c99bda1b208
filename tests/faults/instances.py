"""CT images made of bytes: fast to make, of any size, known to the last bit."""

import hashlib
import random
import struct
from dataclasses import dataclass
from functools import cached_property

from pydicom.uid import generate_uid

from tests.integration.receive.wire import CT

_LONG = {b"OW", b"OB", b"SQ", b"UN"}
_COLUMNS = 128


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One data set as it goes over the wire, Explicit VR Little Endian."""

    sop_instance_uid: str
    study_instance_uid: str
    dataset: bytes
    sop_class_uid: str = CT

    @cached_property
    def sha256(self) -> str:
        """Digest of the data set's bytes."""
        return hashlib.sha256(self.dataset).hexdigest()


def new_uid() -> str:
    """Make a UID that nobody has used."""
    return str(generate_uid(prefix=None))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an image says; the same recipe gives the same bytes.

    Args:
        size_bytes: of Pixel Data, about.
        pixel_seed: what the noise is drawn from.
    """

    study_instance_uid: str
    sop_instance_uid: str
    number: int = 1
    size_bytes: int = 32 << 10
    pixel_seed: int = 0
    patient_name: str = "Fault^Test"
    patient_id: str = "F1"

    def make(self) -> Instance:
        """Make the instance."""
        rows = max(1, self.size_bytes // (2 * _COLUMNS))
        noise = random.Random(self.pixel_seed * 100_003 + self.number)
        elements = (
            _element(0x0008, 0x0016, b"UI", CT),
            _element(0x0008, 0x0018, b"UI", self.sop_instance_uid),
            _element(0x0008, 0x0050, b"SH", "A1"),
            _element(0x0008, 0x0060, b"CS", "CT"),
            _element(0x0010, 0x0010, b"PN", self.patient_name),
            _element(0x0010, 0x0020, b"LO", self.patient_id),
            _element(0x0020, 0x000D, b"UI", self.study_instance_uid),
            _element(0x0020, 0x000E, b"UI", f"{self.study_instance_uid}.1"),
            _element(0x0020, 0x0011, b"IS", "1"),
            _element(0x0020, 0x0013, b"IS", str(self.number)),
            _element(0x0028, 0x0002, b"US", _short(1)),
            _element(0x0028, 0x0004, b"CS", "MONOCHROME2"),
            _element(0x0028, 0x0010, b"US", _short(rows)),
            _element(0x0028, 0x0011, b"US", _short(_COLUMNS)),
            _element(0x0028, 0x0100, b"US", _short(16)),
            _element(0x0028, 0x0101, b"US", _short(12)),
            _element(0x0028, 0x0102, b"US", _short(11)),
            _element(0x0028, 0x0103, b"US", _short(0)),
            _element(0x7FE0, 0x0010, b"OW", noise.randbytes(rows * _COLUMNS * 2)),
        )
        return Instance(
            sop_instance_uid=self.sop_instance_uid,
            study_instance_uid=self.study_instance_uid,
            dataset=b"".join(elements),
        )


def make_study(count: int, *, size_bytes: int = 32 << 10) -> list[Instance]:
    """Make the images of one new study."""
    study = new_study_uid()
    return [
        Recipe(
            study_instance_uid=study,
            sop_instance_uid=new_uid(),
            number=number,
            size_bytes=size_bytes,
        ).make()
        for number in range(1, count + 1)
    ]


def new_study_uid() -> str:
    """Make a Study Instance UID that can take a suffix."""
    return new_uid()[:60].rstrip(".")


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


def _element(group: int, element: int, vr: bytes, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    if len(raw) % 2:
        raw += b"\0" if vr == b"UI" else b" "
    if vr in _LONG:
        return struct.pack("<HH2sHI", group, element, vr, 0, len(raw)) + raw
    return struct.pack("<HH2sH", group, element, vr, len(raw)) + raw
