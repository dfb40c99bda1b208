"""The Patient, General Study and Patient Study modules, taken from a source."""

from typing import Final

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
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

_ALTERNATIVE_DATES: Final = (
    "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
)
_SPECIES: Final = ("PatientSpeciesDescription", "PatientSpeciesCodeSequence")
_OF_ANIMALS_ALONE: Final = (
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
)
# Type 2C of a non-human organism (PS3.3 C.7.1.1, C.7.2.2).
_OF_ANIMALS: Final = (
    *_OF_ANIMALS_ALONE,
    "ResponsiblePerson",
    "ResponsibleOrganization",
    "PatientSexNeutered",
)
# Another patient's, study's or order's if a character is missing: not even cut.
_IDENTIFYING: Final = frozenset(
    {"PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID"}
)
_CODE_PARTS: Final = ("CodeValue", "LongCodeValue", "URNCodeValue")
# Of a code what it means; where it was found binds one to more (PS3.3 8.3).
_CODE: Final = frozenset(
    {*_CODE_PARTS, "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning"}
)
_CODE_CHARACTERS: Final = 16
_ENTITY_ID_TYPES: Final = ("DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500")
_DESIGNATORS: Final = (
    "IssuerOfAccessionNumberSequence",
    "IssuerOfAdmissionIDSequence",
    "IssuerOfServiceEpisodeIDSequence",
)
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
    if keyword in _IDENTIFYING and not depth:
        if any(many):
            target[tag] = DataElement(tag, vr, value)
        return
    legal = [legal_value(keyword, vr, one) for one in many if one is not None]
    kept = [one for one in legal if one is not None]
    is_whole = len(kept) == len(legal)
    if dictionary_VM(tag) == "1":
        kept, is_whole = kept[:1], True
    if kept and is_whole:
        target[tag] = DataElement(tag, vr, kept if len(kept) > 1 else kept[0])


def _items(element: DataElement, keyword: str, depth: int) -> list[Dataset]:
    if not isinstance(element.value, DicomSequence):
        return []
    only = _CODE if keyword.endswith("CodeSequence") else frozenset[str]()
    copies = [_copy_item(item, depth + 1, only) for item in element.value]
    for copy in copies:
        if keyword == "OtherPatientIDsSequence" and "TypeOfPatientID" not in copy:
            copy.TypeOfPatientID = "TEXT"  # Type 1; older files do without
        if keyword.startswith("IssuerOf"):
            _settle_issuer(copy)
    return [copy for copy in copies if _is_usable(copy, keyword)]


def _settle_issuer(copy: Dataset) -> None:
    """Drop a universal ID that does not say of which kind it is (PS3.3 10.14)."""
    kind = copy.get("UniversalEntityIDType")
    if "UniversalEntityID" not in copy or kind not in _ENTITY_ID_TYPES:
        _drop(copy, "UniversalEntityID", "UniversalEntityIDType")


def _copy_item(item: Dataset, depth: int, only: frozenset[str]) -> Dataset:
    """Copy what the dictionary knows; the item's own character set is applied.

    Args:
        only: the attributes wanted; all if there are none.
    """
    copy = Dataset()
    for tag in sorted(item.keys()):
        if tag.is_private or tag.element == 0:
            continue
        try:
            element = item[tag]
            keyword = element.keyword
            if keyword == "CodeValue" and len(str(element.value)) > _CODE_CHARACTERS:
                keyword = "LongCodeValue"  # PS3.3 table 8.8-1
            is_wanted = keyword in only if only else keyword
            if is_wanted and keyword != "SpecificCharacterSet":
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
    if keyword in _DESIGNATORS:
        return "LocalNamespaceEntityID" in item or "UniversalEntityID" in item
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
    if not {"ResponsiblePerson", "ResponsiblePersonRole"} <= {*report.dir()}:
        _drop(report, "ResponsiblePerson", "ResponsiblePersonRole")
    if "PatientAlternativeCalendar" not in report:
        _drop(report, *_ALTERNATIVE_DATES)
    if not any(keyword in report for keyword in _ALTERNATIVE_DATES):
        _drop(report, "PatientAlternativeCalendar")
    _settle_species(report)


def _settle_species(report: Dataset) -> None:
    """Add what of an animal must be there, or drop what only an animal has."""
    if not any(keyword in report for keyword in _SPECIES):
        _drop(report, *_OF_ANIMALS_ALONE)
        return
    for keyword in _OF_ANIMALS:
        if keyword not in report:
            setattr(report, keyword, [] if keyword.endswith("Sequence") else "")


def _drop(report: Dataset, *keywords: str) -> None:
    for keyword in keywords:
        if keyword in report:
            delattr(report, keyword)
