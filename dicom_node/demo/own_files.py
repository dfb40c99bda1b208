"""The user's own files as cases of the demo: `--data FOLDER`."""

import os
import warnings
from collections import defaultdict
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.core.errors import UsageError
from dicom_node.demo.images import Case, Expected


def find_cases(folder: Path) -> tuple[list[Case], int]:
    """Return the studies in a folder, and how many files are not DICOM.

    Raises:
        UsageError: there is no DICOM file.
    """
    studies: dict[str, list[Path]] = defaultdict(list)
    others = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            uid = _study_instance_uid(path)
            if uid:
                studies[uid].append(path)
            else:
                others += 1
    if not studies:
        raise UsageError(
            f"there is no DICOM file with a Study Instance UID in {folder}: name "
            "another folder with --data"
        )
    cases = [
        Case(
            name=f"study {number} of {len(studies)}",
            files=tuple(files),
            study_instance_uid=uid,
            expected=Expected.ANSWERED,
        )
        for number, (uid, files) in enumerate(studies.items(), start=1)
    ]
    return cases, others


def _study_instance_uid(path: Path) -> str:
    try:
        with warnings.catch_warnings():  # their text may hold values
            warnings.simplefilter("ignore")
            header = dcmread(
                path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]
            )
            return str(header.get("StudyInstanceUID") or "")
    except (InvalidDicomError, OSError):
        return ""
    except Exception:  # noqa: BLE001 - anything can be in a file
        return ""
