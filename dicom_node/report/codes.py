"""Coded concepts of the report, each with where the standard defines it."""

from typing import Final

from highdicom.sr import CodedConcept as SRConcept
from pydicom.sr.coding import Code

from dicom_node.core.errors import ReportError
from dicom_node.core.states import Outcome
from dicom_node.core.types import CodedConcept
from dicom_node.report.legal import plain_text

REPORT_TITLE: Final = Code("126000", "DCM", "Imaging Measurement Report")  # CID 7021
DEVICE: Final = SRConcept("121007", "DCM", "Device")  # CID 270
PROBABILITY: Final = Code("122157", "DCM", "Probability")
UNIT_ONE: Final = Code("1", "UCUM", "no units")  # CID 7181
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")  # CID 7005
SUMMARY_OF_ANALYSES: Final = Code("111065", "DCM", "Summary of Analyses")
IMAGE_VIEW: Final = Code("111031", "DCM", "Image View")
COMMENT: Final = Code("121106", "DCM", "Comment")

PRESENT: Final = Code("52101004", "SCT", "Present")  # CID 240
ABSENT: Final = Code("272519000", "SCT", "Absent")
UNDETERMINED: Final = Code("373068000", "SCT", "Undetermined")

PARTIALLY_SUCCEEDED: Final = Code("111223", "DCM", "Partially Succeeded")  # CID 6042
STATUS_OF_RESULTS: Final = {
    Outcome.FAILED: Code("111224", "DCM", "Failed"),
    Outcome.NOT_EVALUATED: Code("111225", "DCM", "Not Attempted"),
}

IMAGING_PROCEDURE: Final = Code("363679005", "SCT", "Imaging procedure")
# The generic members of CID 100. Radiography has one too, (43468-8, LN), but
# validators of before 2023 do not know it: CR and DX get the code that all know.
PROCEDURES: Final = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
}

MAX_MEANING: Final = 64  # LO, PS3.5 6.2
MAX_SCHEME: Final = 16  # SH


def presence(present: bool | None) -> Code:
    """Return the member of CID 240 that says so; None is Undetermined."""
    if present is None:
        return UNDETERMINED
    return PRESENT if present else ABSENT


def coded(concept: CodedConcept) -> SRConcept:
    """Make the code sequence item of a concept that a model card names.

    Raises:
        ReportError: a part is empty, or the scheme is longer than SH allows.
    """
    value = plain_text(concept.value, 1024)
    scheme = plain_text(concept.scheme, 1024)
    meaning = plain_text(concept.meaning, MAX_MEANING)
    if not (value and scheme and meaning):
        raise ReportError(
            "a coded concept of the model lacks its code, scheme or meaning: "
            "complete the model card"
        )
    if len(scheme) > MAX_SCHEME:
        raise ReportError(
            f"a coding scheme of the model has more than {MAX_SCHEME} characters: "
            "shorten it in the model card"
        )
    return SRConcept(value=value, scheme_designator=scheme, meaning=meaning)
