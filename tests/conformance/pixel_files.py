"""Real files for the pixel tests: the shared ones and those inside pydicom."""

import os
from pathlib import Path

import pydicom

_ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("DICOM_NODE_TEST_DATA", _ROOT.parent / "shared/data"))
DICOM = SHARED / "dicom"
BUNDLED = Path(pydicom.__file__).parent / "data"
MISSING = (
    "no shared test data: set DICOM_NODE_TEST_DATA to the folder that holds dicom/"
)

# Of long series of like images, these many are enough.
_LIMITS = {"ct_chest_30": 3, "mr_sag_35": 3, "mr_epi_150": 3, "SE000000": 2}


def image_files() -> list[Path]:
    """List every file that may be DICOM; of long series the first ones."""
    seen: dict[str, int] = {}
    found = []
    for path in sorted([*DICOM.rglob("*"), *BUNDLED.rglob("*")]):
        if not path.is_file() or path.suffix in (".py", ".pyc", ".tsv", ".json"):
            continue
        folder = path.parent.name
        seen[folder] = seen.get(folder, 0) + 1
        if seen[folder] <= _LIMITS.get(folder, 1000):
            found.append(path)
    return found


def name_of(path: Path) -> str:
    """Name a file for the list of tests."""
    root = DICOM if path.is_relative_to(DICOM) else BUNDLED
    return f"{'shared' if root is DICOM else 'pydicom'}:{path.relative_to(root)}"
