"""Writes the evidence of positive findings as a Key Object Selection."""

from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SOPClassUID, derive_uid, digest_inputs
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Finding, ImageResult, InputFile, Prediction, Report
from dicom_node.core.writing import Result
from dicom_node.report.builder import report_uid
from dicom_node.report.encoding import finished_report
from dicom_node.report.evidence import (
    Evidence,
    ImageReference,
    evidence_items,
    gather_evidence,
    strongest_named,
)
from dicom_node.report.finding import label
from dicom_node.report.header import (
    Equipment,
    SeriesForm,
    build_common,
    referenced_requests,
)
from dicom_node.report.legal import free_text
from dicom_node.report.measurement import Observer, observation_context
from dicom_node.report.reading import UNREADABLE, hushed
from dicom_node.report.sop_classes import has_frames
from dicom_node.report.summary_words import RESEARCH, by_weight, say_number

KEY_OBJECT_SELECTION: Final = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.59")
MAX_KEY_IMAGES: Final = 16
_MAX_PER_FINDING: Final = 4
_SERIES: Final = SeriesForm(
    modality="KO", parts=("key objects",), first_number=9701, title="AI key images"
)
_TITLE: Final = ("113000", "DCM", "Of Interest")  # CID 7010
_DESCRIPTION: Final = ("113012", "DCM", "Key Object Description")
_LANGUAGE: Final = ("121049", "DCM", "Language of Content Item and Descendants")
_ENGLISH: Final = ("en-US", "RFC5646", "English (United States)")


class KeyObjectWriter:
    """Makes the key object selection of one result; none without a positive finding."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment

    def write(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> tuple[Report, bytes] | None:
        """Select the strongest images of what is present.

        Raises:
            ReportError: the files have no usable header, or it cannot be encoded.
        """
        present = [one for one in result.prediction.findings if one.present]
        if not present:
            return None
        try:
            with hushed():
                return self._write(result, by_weight(present))
        except UNREADABLE as error:
            # The libraries quote the value that offends them.
            raise ReportError(
                f"the key objects could not be encoded ({type(error).__name__})"
            ) from None

    def _write(
        self, result: Result, present: Sequence[Finding]
    ) -> tuple[Report, bytes] | None:
        prediction = result.prediction
        evidence = gather_evidence(result.files, prediction)
        selected = select_key_images(evidence, present)
        if not selected:
            return None
        made = build_common(evidence, prediction, self._equipment, series=_SERIES)
        made.ReferencedPerformedProcedureStepSequence = []
        made.SOPClassUID = UID(KEY_OBJECT_SELECTION)
        made.SOPInstanceUID = UID(_instance_uid(result, evidence))
        made.InstanceNumber = result.job.revision
        requests = referenced_requests(evidence)
        if requests:
            made.ReferencedRequestSequence = requests
        made.update(self._tree(prediction, present, selected))
        named = {one.sop_instance_uid for one in selected}
        made.CurrentRequestedProcedureEvidenceSequence = evidence_items(
            evidence.study_instance_uid,
            [one for one in evidence.cited if one.sop_instance_uid in named],
        )
        return finished_report(
            made,
            evidence.source,
            kind=ReportKind.KOS,
            node_version=self._equipment.node_version,
        )

    def _tree(
        self,
        prediction: Prediction,
        present: Sequence[Finding],
        selected: Sequence[ImageReference],
    ) -> Dataset:
        """Build the root content item (PS3.16 TID 2010)."""
        root = Dataset()
        root.ValueType = "CONTAINER"
        root.ConceptNameCodeSequence = [_code(*_TITLE)]
        root.ContinuityOfContent = "SEPARATE"
        template = Dataset()
        template.MappingResource = "DCMR"
        template.TemplateIdentifier = "2010"
        root.ContentTemplateSequence = [template]
        language = _item("HAS CONCEPT MOD", "CODE", _LANGUAGE)
        language.ConceptCodeSequence = [_code(*_ENGLISH)]
        description = _item("CONTAINS", "TEXT", _DESCRIPTION)
        description.TextValue = _describe(prediction, present)
        observer = Observer(
            name=self._equipment.station_name or self._equipment.manufacturer,
            manufacturer=prediction.manufacturer or self._equipment.manufacturer,
            serial_number=self._equipment.device_serial_number,
        )
        root.ContentSequence = [
            language,
            *observation_context(prediction, observer),
            description,
            *(_image(one) for one in selected),
        ]
        return root


def select_key_images(
    evidence: Evidence, present: Sequence[Finding]
) -> tuple[ImageReference, ...]:
    """Select the strongest images of each finding, in turns, at most 16 in all.

    Of a finding: its images at and above the operating point, at most 4; the strongest
    one where none reaches it alone, as it may be with means over images.
    """
    lists = [list(_of_finding(evidence, one)) for one in present]
    selected: dict[str, ImageReference] = {}
    for turn in range(_MAX_PER_FINDING):
        for images in lists:
            if turn < len(images) and len(selected) < MAX_KEY_IMAGES:
                one = images[turn]
                known = selected.get(one.sop_instance_uid)
                frames = {*one.frames, *(known.frames if known else ())}
                selected[one.sop_instance_uid] = ImageReference(
                    sop_class_uid=one.sop_class_uid,
                    sop_instance_uid=one.sop_instance_uid,
                    frames=tuple(sorted(frames)),
                )
    return tuple(selected.values())


def _of_finding(evidence: Evidence, finding: Finding) -> Iterator[ImageReference]:
    index = finding.class_index
    for place, (result, file) in enumerate(strongest_named(evidence, finding)):
        known = index is not None and index < len(result.scores)
        if place > 0 and not (known and _reaches(result, finding)):
            return
        yield _reference(result, file, index)


def _reaches(result: ImageResult, finding: Finding) -> bool:
    index, point = finding.class_index, finding.threshold
    return index is not None and point is not None and result.scores[index] >= point


def _reference(
    result: ImageResult, file: InputFile, index: int | None
) -> ImageReference:
    """Reference an image; of several frames the strongest, where it is known."""
    frames: tuple[int, ...] = ()
    if file.header.number_of_frames > 1 and has_frames(file.sop_class_uid):
        if index is not None and index < len(result.peaks):
            frames = (result.peaks[index],)
        elif len(result.frames) == 1:
            frames = result.frames
    return ImageReference(
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        frames=frames,
    )


def _describe(prediction: Prediction, present: Sequence[Finding]) -> str:
    lines = [f"AI result of {prediction.model} {prediction.model_version}."]
    if prediction.research_only:
        lines.append(f"{RESEARCH}.")
    # ASCII where the model is: the document keeps its source's character set.
    lines += [
        f"{label(one)}: present. {say_number(one).replace(' · ', ', ')}."
        for one in present
    ]
    return free_text("\n".join(lines), 1024)


def _instance_uid(result: Result, evidence: Evidence) -> str:
    uid = report_uid(
        evidence,
        result.prediction,
        digest=digest_inputs(file.sop_instance_uid for file in result.files),
        sop_class_uid=KEY_OBJECT_SELECTION,
    )
    return derive_uid("key objects", uid)


def _image(one: ImageReference) -> Dataset:
    """Make an IMAGE item; TID 2010 gives it no name."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    reference = Dataset()
    reference.ReferencedSOPClassUID = one.sop_class_uid
    reference.ReferencedSOPInstanceUID = one.sop_instance_uid
    if one.frames:
        reference.ReferencedFrameNumber = list(one.frames)
    item.ReferencedSOPSequence = [reference]
    return item


def _item(relationship: str, value_type: str, name: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    item.ConceptNameCodeSequence = [_code(*name)]
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item
