"""How elements lie in a stream of bytes (PS3.5 7)."""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from pydicom._dicom_dict import DicomDictionary

UNDEFINED: Final = 0xFFFFFFFF
DELIMITERS: Final = 0xFFFE  # the group of items and delimiters
ITEM: Final = 0xE000
ITEM_END: Final = 0xE00D
SEQUENCE_END: Final = 0xE0DD
_ITEM_LITTLE: Final = b"\xfe\xff\x00\xe0"
_ITEM_BIG: Final = b"\xff\xfe\xe0\x00"

PIXEL_GROUP: Final = 0x7FE0
PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
SEQUENCE_TAGS: Final = frozenset(
    tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ"
)

LONG_VR: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VR: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
VRS: Final = LONG_VR | SHORT_VR
# What may hold items: SQ, UN, and what implicit VR does not say.
SEQUENCE_VR: Final = frozenset((b"SQ", b"UN", b""))


class Encoding:
    """How elements are laid out (PS3.5 7.1.2, 7.1.3), and what reads them.

    VRs and item tags are compared as the integers that their bytes unpack to.

    Attributes:
        header: unpacks group, element, VR and length of a short explicit element.
        peek: unpacks, in explicit VR, the length behind a long VR and the first bytes
            of its value; in implicit VR group, element, length and those bytes.
        item: unpacks group, element and a length of four bytes.
        plain_vr: the VRs with a length of four bytes, less SQ.
        item_bytes, item_starts: what the value of a sequence may begin with.
    """

    def __init__(self, *, explicit: bool, little: bool) -> None:
        order = "<" if little else ">"
        number, long_number = Struct(f"{order}H"), Struct(f"{order}L")
        self.explicit = explicit
        self.little = little
        self.header = Struct(f"{order}HHHH").unpack_from
        self.peek = Struct(f"{order}LL" if explicit else f"{order}HHLL").unpack_from
        self.item = Struct(f"{order}HHL").unpack_from
        self.length = long_number.unpack_from
        self.vr_names = {int(number.unpack(vr)[0]): vr for vr in VRS}
        self.short_vr = frozenset(number.unpack(vr)[0] for vr in SHORT_VR)
        self.plain_vr = frozenset(number.unpack(vr)[0] for vr in LONG_VR - {b"SQ"})
        self.sequence_vr = int(number.unpack(b"SQ")[0])
        # A sequence under VR UN is in little endian wherever it stands.
        self.item_bytes = (_ITEM_LITTLE,) if little else (_ITEM_LITTLE, _ITEM_BIG)
        self.item_starts = frozenset(
            long_number.unpack(tag)[0] for tag in self.item_bytes
        )


IMPLICIT_LITTLE: Final = Encoding(explicit=False, little=True)
EXPLICIT_LITTLE: Final = Encoding(explicit=True, little=True)
EXPLICIT_BIG: Final = Encoding(explicit=True, little=False)


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
