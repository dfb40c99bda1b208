"""How elements lie in a stream of bytes, and what the walk over them keeps."""

from collections import defaultdict
from dataclasses import dataclass
from struct import Struct
from typing import Final

from pydicom._dicom_dict import DicomDictionary
from pydicom._private_dict import private_dictionaries

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
CLOSER_TAGS: Final = SEQUENCE_TAGS | PIXEL_TAGS
# Elements (gggg,0010-00FF) of an odd group say whose its elements are (PS3.5 7.8.1).
CREATOR_ELEMENTS: Final = frozenset(range(0x10, 0x100))
MAX_CREATOR_BYTES: Final = 64
ITEM_BYTES: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


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
EXPLICIT_LITTLE: Final = Encoding(explicit=True, little=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkLimits:
    """Where the walk gives up.

    Args:
        max_empty_elements: elements without a value cost a reader far more memory
            than they take in the file, and no real data set is made of them.
        max_element_bytes: of one element that is not Pixel Data.
        max_seconds: of processor time: that others keep the machine busy is no fault
            of the sender's.
    """

    max_depth: int = 32
    max_elements: int = 500_000
    max_empty_elements: int = 50_000
    max_element_bytes: int = 1 << 30
    max_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelElement:
    """Where the value of a top-level pixel element lies; items of fragments count."""

    tag: int
    start: int
    end: int
    fragments: int | None


@dataclass(frozen=True, slots=True)
class Elements:
    """The first bytes of the wanted top-level values, and the pixels."""

    values: dict[int, bytes]
    pixels: tuple[PixelElement, ...]


@dataclass(slots=True)
class Frame:
    """An open data set (`items` False) or an open sequence (`items` True).

    Args:
        end: where it ends, or where what it lies in ends if it has no length.
        guess: it may be no sequence at all; then its bytes are opaque.
        unknown: a sequence under VR UN, implicit by PS3.5 6.2.2 and explicit in files
            of some writers.
        creators: by tag of their element, those private creators that are known to
            have sequences.
    """

    encoding: Encoding
    end: int
    defined: bool
    items: bool
    guess: bool = False
    unknown: bool = False
    creators: dict[int, bytes] | None = None

    def declare(self, tag: int, value: bytes) -> None:
        """Take a private creator to be the one of its block from here on."""
        name = value.rstrip(b" \0")
        if name in PRIVATE_SEQUENCES:
            if self.creators is None:
                self.creators = {}
            self.creators[tag] = name
        elif self.creators:
            self.creators.pop(tag, None)

    def has_sequence(self, tag: int) -> bool:
        """Say whether the tag is known to be a sequence's (Part 6 and pydicom)."""
        if not tag >> 16 & 1:
            return tag in SEQUENCE_TAGS
        if not self.creators:
            return False
        creator = self.creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
        if creator is None:
            return False
        vrs = PRIVATE_SEQUENCES[creator]
        group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
        for key in (
            group + element,
            f"{group}xx{element[2:]}",
            f"{group[:2]}xxxx{element[2:]}",
        ):
            if key in vrs:
                return vrs[key]
        return False


def _private_sequences() -> dict[bytes, dict[str, bool]]:
    """Return by creator which of its elements are sequences, if any is."""
    known: dict[bytes, dict[str, bool]] = defaultdict(dict)
    for creator, entries in private_dictionaries.items():
        if any(entry[0] == "SQ" for entry in entries.values()):
            name = creator.encode("latin-1")
            known[name] = {key: entry[0] == "SQ" for key, entry in entries.items()}
    return dict(known)


PRIVATE_SEQUENCES: Final = _private_sequences()


@dataclass(frozen=True, slots=True)
class Layout:
    """The unpackers of one byte order, and what they give for VRs and items."""

    explicit: Struct
    implicit: Struct
    implicit_peek: Struct
    peek: Struct
    length: Struct
    short_vr: frozenset[int]
    long_vr: frozenset[int]
    items: frozenset[int]


def _layout(order: str) -> Layout:
    number = Struct(f"{order}H")
    long_number = Struct(f"{order}L")
    return Layout(
        explicit=Struct(f"{order}HHHH"),
        implicit=Struct(f"{order}HHL"),
        implicit_peek=Struct(f"{order}HHLL"),
        peek=Struct(f"{order}LL"),
        length=long_number,
        short_vr=frozenset(number.unpack(vr)[0] for vr in SHORT_VR),
        long_vr=frozenset(number.unpack(vr)[0] for vr in LONG_VR - {b"SQ"}),
        items=frozenset(long_number.unpack(item)[0] for item in ITEM_BYTES),
    )


LAYOUTS: Final = {True: _layout("<"), False: _layout(">")}
