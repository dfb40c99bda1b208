"""How elements lie in a stream of bytes, and what the walk over them keeps."""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from pydicom._dicom_dict import DicomDictionary

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

LONG_VR: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VR: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
VRS: Final = LONG_VR | SHORT_VR
# What may hold items: SQ, UN, and what implicit VR does not say.
SEQUENCE_VR: Final = frozenset((b"SQ", b"UN", b""))
SEQUENCE_TAGS: Final = frozenset(
    tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ"
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are laid out (PS3.5 7.1.2, 7.1.3)."""

    explicit: bool
    little: bool

    @property
    def order(self) -> str:
        """The byte order as struct spells it."""
        return "<" if self.little else ">"


IMPLICIT_LITTLE: Final = Encoding(explicit=False, little=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkLimits:
    """Where the walk gives up.

    Args:
        max_empty_elements: elements without a value cost a reader far more memory
            than they take in the file, and no real data set is made of them.
    """

    max_depth: int = 32
    max_elements: int = 500_000
    max_empty_elements: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelElement:
    """Where the value of a top-level pixel element lies; items of fragments count."""

    tag: int
    start: int
    end: int
    fragments: int | None


@dataclass(frozen=True, slots=True)
class Elements:
    """The wanted top-level values as (start, end), and the pixels."""

    values: dict[int, tuple[int, int]]
    pixels: tuple[PixelElement, ...]


@dataclass(slots=True)
class Frame:
    """An open data set (`items` False) or an open sequence (`items` True).

    Args:
        end: where it ends, or where what it lies in ends if it has no length.
        guess: it may be no sequence at all; then its bytes are opaque.
        unknown: a sequence under VR UN, implicit by PS3.5 6.2.2 and explicit in files
            of some writers.
    """

    encoding: Encoding
    end: int
    defined: bool
    items: bool
    guess: bool = False
    unknown: bool = False
    creators: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """The unpackers of one byte order."""

    explicit: Struct
    implicit: Struct
    length: Struct
    item: bytes


LAYOUTS: Final = {
    little: Layout(
        Struct(f"{order}HH2sH"),
        Struct(f"{order}HHL"),
        Struct(f"{order}L"),
        b"\xfe\xff\x00\xe0" if little else b"\xff\xfe\xe0\x00",
    )
    for little, order in ((True, "<"), (False, ">"))
}
