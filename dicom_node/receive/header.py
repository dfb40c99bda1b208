"""Read the routing header out of a walked data set; no patient identity stays."""

from dataclasses import fields
from datetime import date
from functools import lru_cache
from operator import attrgetter
from typing import Final, Literal

from pydicom.charset import decode_bytes, python_encoding

from dicom_node.core.types import RoutingHeader

SPECIFIC_CHARACTER_SET: Final = 0x00080005
IMAGE_TYPE: Final = 0x00080008
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_DATE: Final = 0x00080020
ACCESSION_NUMBER: Final = 0x00080050
MODALITY: Final = 0x00080060
PRESENTATION_INTENT_TYPE: Final = 0x00080068
MANUFACTURER: Final = 0x00080070
STUDY_DESCRIPTION: Final = 0x00081030
SERIES_DESCRIPTION: Final = 0x0008103E
PATIENT_BIRTH_DATE: Final = 0x00100030
PATIENT_AGE: Final = 0x00101010
PATIENT_SPECIES: Final = 0x00102201
BODY_PART_EXAMINED: Final = 0x00180015
VIEW_POSITION: Final = 0x00185101
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
SERIES_NUMBER: Final = 0x00200011
INSTANCE_NUMBER: Final = 0x00200013
SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
NUMBER_OF_FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
QUALITY_CONTROL_IMAGE: Final = 0x00280300

# What routing and the checks of pixels read.
WANTED: Final = frozenset(
    value
    for name, value in list(globals().items())
    if name.isupper() and isinstance(value, int)
)

# What the images of a series never, or seldom, have alike.
OF_IMAGE: Final = frozenset({SOP_INSTANCE_UID, INSTANCE_NUMBER})

# How stored values become pixels; only comparing files needs them.
PLANAR_CONFIGURATION: Final = 0x00280006
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
PIXEL_REPRESENTATION: Final = 0x00280103

# Descriptions are LO with 64 characters; files in the wild have more.
_MAX_TEXT: Final = 256
_TEXT_DELIMITERS: Final = {0x0A, 0x0C, 0x0D, 0x09, 0x5C}
_DAYS_PER_UNIT: Final = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
# Of an IS, PS3.5 6.2.
_MAX_DIGITS: Final = 12
_MAX_INT: Final = 2**31 - 1

# What a routing header is made of, but for the number of the image.
_OF_SERIES: Final = tuple(
    sorted(
        WANTED
        - {SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID}
        - {INSTANCE_NUMBER, PHOTOMETRIC_INTERPRETATION}
        - {BITS_ALLOCATED}
    )
)
_SERIES_KEPT: Final = 64
_NAMES: Final = tuple(
    item.name for item in fields(RoutingHeader) if item.name != "instance_number"
)
_values: Final = attrgetter(*_NAMES)


class Header:
    """The wanted top-level values of one data set, decoded on request."""

    __slots__ = ("_order", "_values")

    def __init__(self, values: dict[int, bytes], *, little: bool) -> None:
        self._values = values
        self._order: Literal["little", "big"] = "little" if little else "big"

    def raw(self, tag: int) -> bytes:
        """Return the value's first bytes without padding, b"" if there is none."""
        value = self._values.get(tag)
        return value.strip(b" \0") if value else b""

    def code(self, tag: int) -> str:
        """Return a value of the default repertoire (CS, UI, DA, AS, IS)."""
        return _printable(self.raw(tag).decode("ascii", "replace"))

    def text(self, tag: int) -> str:
        """Return a value in the data set's Specific Character Set."""
        value = self.raw(tag)
        if value.isascii() and b"\x1b" not in value:
            return _printable(value.decode("ascii"))
        try:
            decoded = decode_bytes(value, self._character_sets(), _TEXT_DELIMITERS)
        except Exception:  # noqa: BLE001 - pydicom warns or raises on a bad sequence
            decoded = value.decode("latin-1")
        return _printable(decoded)

    def number(self, tag: int) -> int | None:
        """Return an IS value, None if it is absent or no 32-bit integer."""
        text = self.code(tag)
        digits = text[1:] if text[:1] in ("+", "-") else text
        if len(digits) > _MAX_DIGITS or not digits.isdecimal():
            return None
        value = int(text)
        return value if abs(value) <= _MAX_INT else None

    def short(self, tag: int) -> int | None:
        """Return a US value, None if it is absent; SL and UL are read alike."""
        value = self._values.get(tag, b"")
        return int.from_bytes(value, self._order) if len(value) in (2, 4) else None

    def routing(self, *, has_pixels: bool) -> RoutingHeader:
        """Return what completion and routing need."""
        values = self._values
        of_series = tuple([values.get(tag) for tag in _OF_SERIES])
        return self.numbered(_routing(of_series, self._order, has_pixels))

    def numbered(self, header: RoutingHeader) -> RoutingHeader:
        """Return the header of another image of the series with this one's number."""
        number = self.number(INSTANCE_NUMBER)
        if number == header.instance_number:
            return header
        others = dict(zip(_NAMES, _values(header), strict=True))
        return RoutingHeader(**others, instance_number=number)

    def _routing(self, *, has_pixels: bool) -> RoutingHeader:
        """Decode what the images of a series nearly always have alike."""
        frames = self.number(NUMBER_OF_FRAMES)
        image_type = self.code(IMAGE_TYPE).split("\\")
        return RoutingHeader(
            modality=self.code(MODALITY),
            body_part_examined=self.code(BODY_PART_EXAMINED),
            view_position=self.code(VIEW_POSITION),
            patient_age_years=self._age_years(),
            image_type=tuple([part.strip() for part in image_type if part]),
            study_description=self.text(STUDY_DESCRIPTION),
            series_description=self.text(SERIES_DESCRIPTION),
            accession_number=self.text(ACCESSION_NUMBER),
            series_number=self.number(SERIES_NUMBER),
            rows=self.short(ROWS),
            columns=self.short(COLUMNS),
            number_of_frames=frames if frames and frames > 0 else 1,
            has_pixels=has_pixels,
            manufacturer=self.text(MANUFACTURER),
            presentation_intent_type=self.code(PRESENTATION_INTENT_TYPE),
            samples_per_pixel=self.short(SAMPLES_PER_PIXEL) or 1,
            quality_control_image=self.code(QUALITY_CONTROL_IMAGE),
            patient_species=self.text(PATIENT_SPECIES),
        )

    def _character_sets(self) -> list[str]:
        terms = self.code(SPECIFIC_CHARACTER_SET).split("\\")
        known = [python_encoding.get(term.strip()) for term in terms]
        return [codec for codec in known if codec] or ["latin-1"]

    def _age_years(self) -> float | None:
        """Read Patient's Age (AS), else count from the birth to the study date."""
        age = self.code(PATIENT_AGE)
        days = _DAYS_PER_UNIT.get(age[-1:])
        if days and len(age) <= 4 and age[:-1].isdecimal():
            return round(int(age[:-1]) * days / 365.25, 4)
        born = self._day(PATIENT_BIRTH_DATE)
        studied = self._day(STUDY_DATE) if born else None
        if born is None or studied is None or studied < born:
            return None
        return round((studied - born).days / 365.25, 4)

    def _day(self, tag: int) -> date | None:
        # ACR-NEMA wrote 1997.04.24, which readers have to take (PS3.5 6.2, note 1).
        digits = self.code(tag).replace(".", "")
        if len(digits) != 8 or not digits.isdecimal():
            return None
        try:
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:
            return None


@lru_cache(_SERIES_KEPT)
def _routing(
    values: tuple[bytes | None, ...], order: Literal["little", "big"], has_pixels: bool
) -> RoutingHeader:
    found = {tag: value for tag, value in zip(_OF_SERIES, values, strict=True) if value}
    return Header(found, little=order == "little")._routing(has_pixels=has_pixels)


def _printable(text: str) -> str:
    """Keep what a line of a table can show, and bound it."""
    if len(text) > _MAX_TEXT or not text.isprintable():
        kept = [c if c.isprintable() else " " for c in text[: 4 * _MAX_TEXT]]
        text = "".join(kept).strip()[:_MAX_TEXT]
    return text.strip()
