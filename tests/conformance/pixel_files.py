"""Real files for the pixel tests: the shared ones and those inside pydicom."""

import os
import warnings
from functools import cache
from pathlib import Path

import pydicom

_ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("DICOM_NODE_TEST_DATA", _ROOT.parent / "shared/data"))
DICOM = SHARED / "dicom"
BUNDLED = Path(pydicom.__file__).parent / "data"
MISSING = (
    "no shared test data: set DICOM_NODE_TEST_DATA to the folder that holds dicom/"
)

# Series of like images: one row of the table, with the largest differences.
SERIES = ("ct_chest_30", "mr_sag_35", "mr_epi_150")
_PIXEL_TAGS = tuple(
    tag
    for number in (0x08, 0x09, 0x10)
    for tag in (bytes((0xE0, 0x7F, number, 0)), bytes((0x7F, 0xE0, 0, number)))
)


def all_files() -> list[Path]:
    """List every file that may be DICOM."""
    found = [*DICOM.rglob("*"), *BUNDLED.rglob("*")]
    other = (".py", ".pyc", ".tsv", ".json", ".txt", ".md", ".dump", ".icc", ".gz")
    return sorted(path for path in found if path.is_file() and path.suffix not in other)


@cache
def image_files() -> tuple[Path, ...]:
    """List every file that has a pixel element, found by its tag or by pydicom."""
    return tuple(path for path in all_files() if _has_pixels(path))


def _has_pixels(path: Path) -> bool:
    raw = path.read_bytes()
    if any(tag in raw for tag in _PIXEL_TAGS):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:  # the tag of a deflated file is not to be seen
            return "PixelData" in pydicom.dcmread(path, force=True)
        except Exception:  # noqa: BLE001 - malformed on purpose
            return False


def name_of(path: Path) -> str:
    """Name a file for tests and the table."""
    root = DICOM if path.is_relative_to(DICOM) else BUNDLED
    return f"{'shared' if root is DICOM else 'pydicom'}:{path.relative_to(root)}"
