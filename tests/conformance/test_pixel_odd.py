"""Unusual images made to order, beside what dcmtk, highdicom and pydicom show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import XRayAngiographicImageStorage

from tests.conformance.pixel_references import has_dcmtk
from tests.conformance.pixel_verdicts import judge
from tests.unit.pixels.images import lut_item, write_image

GREY = np.random.default_rng(0).integers(0, 4096, (24, 40)).astype(np.uint16)
OCTETS = (GREY >> 4).astype(np.uint8)
RGB = np.stack([OCTETS, OCTETS[::-1], OCTETS[:, ::-1]], -1).copy()
TWELVE: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}
WINDOW: dict[str, Any] = {"WindowCenter": "2000", "WindowWidth": "3000"}
PALETTE = [
    np.random.default_rng(seed).integers(0, 65536, 4096).astype("<u2")
    for seed in range(3)
]


def octet_lut(entries: int, bits: int, data: bytes, *, first: int = 0) -> Dataset:
    """Make a LUT item whose data are OW: bytes packed two to a word, or words."""
    made = Dataset()
    made.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries, first, bits])
    made.add_new("LUTData", "OW", data)
    return made


def curve(entries: int, highest: int) -> list[int]:
    """Make a table that is no straight line."""
    return [int(v) for v in np.linspace(0, 1, entries) ** 2 * highest]


def palette(first: int, bits: int, entries: int) -> dict[str, Any]:
    """Make the attributes of a palette."""
    made: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), PALETTE, strict=True):
        name = f"{colour}PaletteColorLookupTable"
        data = table[:entries] if bits == 16 else (table[:entries] >> 8).astype("u1")
        made[f"{name}Descriptor"] = [entries, first, bits]
        made[f"{name}Data"] = data.tobytes()
    return made


LONG = np.array(curve(65536, 65535), "<u2")

# Name -> pixels, attributes, and references that are known to be wrong there:
# highdicom 0.28 neither masks nor signs by Bits Stored.
UNMASKED = {"highdicom shown"}
CASES: dict[str, tuple[Any, dict[str, Any], set[str]]] = {
    "foreign bits above Bits Stored": (GREY | 0xF000, TWELVE | WINDOW, UNMASKED),
    "High Bit 15 of 12 bits": (
        GREY << 4, WINDOW | {"BitsStored": 12, "HighBit": 15}, UNMASKED
    ),
    "High Bit 13 of 12 bits": (
        GREY << 2, WINDOW | {"BitsStored": 12, "HighBit": 13}, UNMASKED
    ),
    "12 bits with a sign": (
        GREY | 0x7000,
        TWELVE | {"PixelRepresentation": 1, "WindowCenter": "0", "WindowWidth": "999"},
        UNMASKED,
    ),
    "a width of 1": (GREY, TWELVE | WINDOW | {"WindowWidth": "1"}, set()),
    "LINEAR_EXACT": (
        GREY, TWELVE | WINDOW | {"VOILUTFunction": "LINEAR_EXACT"}, set()
    ),
    "SIGMOID, MONOCHROME1": (
        GREY,
        TWELVE | WINDOW
        | {"VOILUTFunction": "SIGMOID", "PhotometricInterpretation": "MONOCHROME1"},
        set(),
    ),
    "several windows": (
        GREY,
        TWELVE | {"WindowCenter": ["2000", "100"], "WindowWidth": ["1000", "10"]},
        set(),
    ),
    "a negative slope": (
        GREY,
        TWELVE | {"RescaleSlope": "-1", "RescaleIntercept": "0"},
        set(),
    ),
    "8-bit LUT in words": (
        GREY, TWELVE | {"VOILUTSequence": [lut_item([4096, 0, 8], curve(4096, 255))]},
        set(),
    ),
    "8-bit LUT in bytes": (
        GREY,
        TWELVE
        | {"VOILUTSequence": [octet_lut(4096, 8, bytes(curve(4096, 255)))]},
        set(),
    ),
    "LUT of 10 bits": (
        GREY, TWELVE | {"VOILUTSequence": [lut_item([4096, 0, 10], curve(4096, 1023))]},
        set(),
    ),
    "LUT for a part of the values": (
        GREY, TWELVE | {"VOILUTSequence": [lut_item([100, 999, 12], curve(100, 4095))]},
        set(),
    ),
    "LUT and MONOCHROME1": (
        GREY,
        TWELVE
        | {
            "VOILUTSequence": [lut_item([4096, 0, 16], curve(4096, 65535))],
            "PhotometricInterpretation": "MONOCHROME1",
        },
        set(),
    ),
    "LUT of 65536 entries from -32768": (
        (GREY.astype(int) * 16 - 32768).astype(np.int16),
        {"VOILUTSequence": [octet_lut(0, 16, LONG.tobytes(), first=-32768)]},
        set(),
    ),
    "negative first value written as US": (
        GREY,
        TWELVE
        | {
            "RescaleSlope": "1",
            "RescaleIntercept": "-1024",
            "VOILUTSequence": [lut_item([2000, 65036, 12], curve(2000, 4095))],
        },
        set(),
    ),
    "Modality LUT, then a window": (
        GREY,
        TWELVE
        | {
            "ModalityLUTSequence": [lut_item([4096, 0, 16], curve(4096, 65535))],
            "WindowCenter": "20000",
            "WindowWidth": "30000",
        },
        set(),
    ),
    "Modality LUT of 8 bits, then a VOI LUT": (
        OCTETS,
        {
            "ModalityLUTSequence": [octet_lut(256, 8, bytes(range(255, -1, -1)))],
            "VOILUTSequence": [lut_item([256, 0, 12], curve(256, 4095))],
        },
        set(),
    ),
    # highdicom applies it; PS3.4 N.2.5 wants it ignored.
    "Modality LUT of an angiogram": (
        GREY,
        TWELVE | WINDOW
        | {
            "SOPClassUID": XRayAngiographicImageStorage,
            "PixelIntensityRelationship": "LOG",
            "ModalityLUTSequence": [lut_item([4096, 0, 16], curve(4096, 65535))],
        },
        {"highdicom shown"},
    ),
    "padding": (
        np.where(GREY < 99, 0, GREY).astype(np.uint16),
        TWELVE | WINDOW | {"PixelPaddingValue": 0},
        set(),
    ),
    "32 bits": (
        GREY.astype(np.uint32) << 20,
        {"WindowCenter": "2000000000", "WindowWidth": "3000000000"},
        set(),
    ),
    "MONOCHROME1 and IDENTITY": (
        GREY,
        TWELVE | WINDOW
        | {
            "PhotometricInterpretation": "MONOCHROME1",
            "PresentationLUTShape": "IDENTITY",
        },
        set(),
    ),
    "MONOCHROME2 and INVERSE": (
        GREY, TWELVE | WINDOW | {"PresentationLUTShape": "INVERSE"}, set()
    ),
    "RGB of 12 bits": (
        RGB.astype(np.uint16) * 16, TWELVE | {"PhotometricInterpretation": "RGB"},
        set(),
    ),
    "YBR_FULL": (RGB, {"PhotometricInterpretation": "YBR_FULL"}, set()),
    "palette of 8-bit entries": (OCTETS, palette(0, 8, 256), set()),
    "palette of a part of the values": (OCTETS, palette(50, 16, 100), set()),
    "palette for 12 bits": (GREY, TWELVE | palette(0, 16, 4096), set()),
    "palette from -128": (OCTETS.view(np.int8), palette(-128, 16, 256), set()),
}  # fmt: skip


@pytest.mark.skipif(not has_dcmtk(), reason="dcmtk is not installed")
@pytest.mark.parametrize("name", list(CASES))
def test_an_unusual_image_is_shown_as_others_show_it(tmp_path: Path, name: str) -> None:
    pixels, attributes, wrong = CASES[name]
    verdict = judge(write_image(tmp_path / "a.dcm", pixels, **attributes))
    assert verdict.outcome.startswith("shown")
    assert "dcmtk shown" in verdict.differences
    assert verdict.wrong <= wrong
