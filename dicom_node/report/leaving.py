"""Looks at an object's file once more before it leaves the node."""

import warnings
from collections.abc import Sequence
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.core.states import ReportKind
from dicom_node.core.types import Report, ReportFile
from dicom_node.report.checks import faults_of

OBJECTS: Final = (ReportKind.SR, ReportKind.SC, ReportKind.KOS)


def faults_in(kind: ReportKind, file: ReportFile) -> Sequence[str]:
    """Return what is wrong with the file of an object, () for a message's.

    A text names attributes, never their values.
    """
    if kind not in OBJECTS:
        return ()
    try:
        with warnings.catch_warnings():  # their text may hold values
            warnings.simplefilter("ignore")
            dataset = dcmread(file.path)
            dataset.walk(lambda _dataset, _element: None)  # reads every element
    except FileNotFoundError:
        return ()  # the sender meets it, and tries again
    except InvalidDicomError:
        return ("its file is no DICOM file (PS3.10)",)
    except Exception as error:  # noqa: BLE001 - anything can be in a file
        return (f"its file cannot be parsed ({type(error).__name__})",)
    return [*_identity_faults(dataset, file.report), *faults_of(kind, dataset)]


def _identity_faults(dataset: Dataset, report: Report) -> list[str]:
    """Compare the file with its row."""
    expected = {
        "SOPClassUID": str(report.sop_class_uid),
        "SOPInstanceUID": str(report.sop_instance_uid),
        "SeriesInstanceUID": str(report.series_instance_uid),
    }
    return [
        f"{keyword} is not the one that was recorded"
        for keyword, value in expected.items()
        if str(dataset.get(keyword, "")) != value
    ]
