"""The Patient, General Study and Patient Study modules, taken from a source."""

from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from dicom_node.report.legal import legal_value
from dicom_node.report.reading import UNREADABLE

# Type 2 in an SR: there even when the source does not have them.
_TYPE_2: Final = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime "
    "AccessionNumber ReferringPhysicianName StudyID"
)

# PS3.3 C.7.1.1, C.7.2.1 and C.7.2.2, without what may hold a person's portrait.
_TYPE_3: Final = (
    "IssuerOfPatientID TypeOfPatientID IssuerOfPatientIDQualifiersSequence "
    "PatientBirthTime PatientBirthDateInAlternativeCalendar "
    "PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar "
    "QualityControlSubject OtherPatientIDs OtherPatientIDsSequence "
    "OtherPatientNames EthnicGroup EthnicGroupCodeSequence PatientComments "
    "PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription "
    "PatientBreedCodeSequence BreedRegistrationSequence ResponsiblePerson "
    "ResponsiblePersonRole ResponsibleOrganization PatientIdentityRemoved "
    "DeidentificationMethod DeidentificationMethodCodeSequence "
    "ReferencedPatientSequence "
    "IssuerOfAccessionNumberSequence ConsultingPhysicianName StudyDescription "
    "ProcedureCodeSequence PhysiciansOfRecord NameOfPhysiciansReadingStudy "
    "ReferencedStudySequence RequestingService RequestingServiceCodeSequence "
    "ReasonForPerformedProcedureCodeSequence "
    "AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge "
    "PatientSize PatientWeight PatientBodyMassIndex MedicalAlerts Allergies "
    "Occupation SmokingStatus AdditionalPatientHistory PregnancyStatus "
    "LastMenstrualDate PatientSexNeutered ReasonForVisit AdmissionID "
    "IssuerOfAdmissionIDSequence ServiceEpisodeID ServiceEpisodeDescription "
    "IssuerOfServiceEpisodeIDSequence PatientState"
)

_CODE_PARTS: Final = ("CodeValue", "LongCodeValue", "URNCodeValue")
_MAX_DEPTH: Final = 8  # a hostile nesting stops here; the modules need three


def copy_subject(report: Dataset, source: Dataset) -> None:
    """Give a report its source's patient and study, value by value as they are."""
    for keyword in _TYPE_2.split():
        copy_attribute(report, source, keyword)
        if keyword not in report:
            setattr(report, keyword, "")
    for keyword in _TYPE_3.split():
        copy_attribute(report, source, keyword)
    _settle_conditions(report)


def copy_attribute(target: Dataset, source: Dataset, keyword: str) -> None:
    """Copy one attribute unless it is absent, empty or not legal in any form."""
    try:
        if keyword in source:
            _copy_element(target, source[keyword], keyword, depth=0)
    except UNREADABLE:
        return


def copy_items(source: Dataset, keyword: str) -> list[Dataset]:
    """Return legal copies of a sequence's items, [] if there are none."""
    holder = Dataset()
    copy_attribute(holder, source, keyword)
    return list(holder.get(keyword) or [])


def _copy_element(
    target: Dataset, element: DataElement, keyword: str, *, depth: int
) -> None:
    tag = tag_for_keyword(keyword)
    if tag is None:
        return
    vr = dictionary_VR(tag)
    if vr == "SQ":
        items = [] if depth >= _MAX_DEPTH else _items(element, keyword, depth)
        if items:
            target[tag] = DataElement(tag, "SQ", DicomSequence(items))
        return
    value = element.value
    many = list(value) if isinstance(value, MultiValue) else [value]
    legal = [legal_value(keyword, vr, one) for one in many if one is not None]
    kept = [one for one in legal if one is not None]
    if kept and len(kept) == len(legal):
        target[tag] = DataElement(tag, vr, kept if len(kept) > 1 else kept[0])


def _items(element: DataElement, keyword: str, depth: int) -> list[Dataset]:
    if not isinstance(element.value, DicomSequence):
        return []
    copies = [_copy_item(item, depth + 1) for item in element.value]
    return [copy for copy in copies if _is_usable(copy, keyword)]


def _copy_item(item: Dataset, depth: int) -> Dataset:
    """Copy what the dictionary knows; the item's own character set is applied."""
    copy = Dataset()
    for tag in sorted(item.keys()):
        if tag.is_private or tag.element == 0:
            continue
        try:
            element = item[tag]
            keyword = element.keyword
            if keyword and keyword != "SpecificCharacterSet":
                _copy_element(copy, element, keyword, depth=depth)
        except UNREADABLE:
            continue
    return copy


def _is_usable(item: Dataset, keyword: str) -> bool:
    """Say whether an item has what Type 1 asks of it (PS3.3 8.8, 10.8)."""
    if keyword.endswith("CodeSequence"):
        return is_complete_code(item)
    if keyword in {"ReferencedStudySequence", "ReferencedPatientSequence"}:
        return bool(
            item.get("ReferencedSOPClassUID") and item.get("ReferencedSOPInstanceUID")
        )
    if keyword == "OtherPatientIDsSequence":
        return "PatientID" in item
    return len(item) > 0


def is_complete_code(item: Dataset) -> bool:
    """Say whether a code sequence item has code, scheme and meaning."""
    value = next((str(item[key].value) for key in _CODE_PARTS if key in item), "")
    scheme = str(item.get("CodingSchemeDesignator", "") or "")
    meaning = str(item.get("CodeMeaning", "") or "")
    return bool(value and 0 < len(scheme) <= 16 and 0 < len(meaning) <= 64)


def _settle_conditions(report: Dataset) -> None:
    """Drop optional attributes whose mandatory companion is not there."""
    if report.get("PatientIdentityRemoved") == "YES" and not (
        "DeidentificationMethod" in report
        or "DeidentificationMethodCodeSequence" in report
    ):
        del report.PatientIdentityRemoved
    if "ResponsiblePerson" in report and "ResponsiblePersonRole" not in report:
        del report.ResponsiblePerson
    if "PatientAlternativeCalendar" not in report:
        for keyword in (
            "PatientBirthDateInAlternativeCalendar",
            "PatientDeathDateInAlternativeCalendar",
        ):
            if keyword in report:
                delattr(report, keyword)
