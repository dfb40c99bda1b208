"""What the report was made from: the cited instances and one source header."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import Finding, ImageResult, InputFile, Prediction, Report
from dicom_node.report.reading import read_header, text_of
from dicom_node.report.sop_classes import has_frames, is_image

# Leading zeros break PS3.5 9.1 too, but in the evidence every reader copes with them.
_UID: Final = re.compile(r"[0-9.]{1,64}")
_LEGAL_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
MAX_LISTED_IMAGES: Final = 16
MAX_LISTED_FRAMES: Final = 4096  # an IS element of explicit VR ends at 64 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """One instance the evidence names."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """An image of the evidence, with the frames meant (1-based; () means all)."""

    sop_class_uid: str
    sop_instance_uid: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The source header of the report and every instance it was made from.

    Args:
        source: header of the file whose patient and study the report takes.
        images: result and file of each image that is cited.
        uncited: how many instances cannot be cited, for want of a Series Instance
            UID or because a UID holds other characters than digits and dots.
    """

    study_instance_uid: str
    source: Dataset
    modality: str
    cited: tuple[Cited, ...]
    images: tuple[tuple[ImageResult, InputFile], ...] = field(repr=False)
    uncited: int


def gather_evidence(files: Sequence[InputFile], prediction: Prediction) -> Evidence:
    """Find the source header and the instances that the prediction looked at.

    Raises:
        ReportError: no file, none of them readable, or no Study Instance UID.
    """
    if not files:
        raise ReportError("a report needs at least one instance of the study")
    results = {image.sop_instance_uid: image for image in prediction.images}
    used = [file for file in files if file.sop_instance_uid in results] or list(files)
    source, chosen = _source_header(_best_first(used, results, files))
    cited = [_cite(file) for file in used]
    citable = tuple(dict.fromkeys(one for one in cited if one is not None))
    known = {one.sop_instance_uid for one in citable}
    return Evidence(
        study_instance_uid=text_of(source, "StudyInstanceUID"),
        source=source,
        modality=text_of(source, "Modality") or chosen.header.modality,
        cited=citable,
        images=tuple(
            (results[file.sop_instance_uid], file)
            for file in _distinct(used)
            if file.sop_instance_uid in results
            and file.sop_instance_uid in known
            and is_image(file.sop_class_uid)
        ),
        uncited=sum(one is None for one in cited),
    )


def listed_images(
    evidence: Evidence, finding: Finding | None
) -> tuple[ImageReference, ...]:
    """Return the images that speak for a finding, strongest first, at most 16.

    Without a finding: the images that were looked at, in their order.
    """
    chosen = strongest_named(evidence, finding)
    return tuple(image_reference(*pair) for pair in chosen[:MAX_LISTED_IMAGES])


def strongest_named(
    evidence: Evidence, finding: Finding | None
) -> list[tuple[ImageResult, InputFile]]:
    """Return what `strongest_first` does, but for images that no item can name."""
    return [
        pair
        for pair in strongest_first(evidence, finding)
        if can_be_named(pair[0].sop_instance_uid)
    ]


def can_be_named(sop_instance_uid: str) -> bool:
    """Say whether an IMAGE item may hold the UID.

    Of a document with one that is not allowed, dcmtk reads nothing.

    Source: PS3.5 9.1.
    """
    return bool(_LEGAL_UID.fullmatch(sop_instance_uid))


def strongest_first(
    evidence: Evidence, finding: Finding | None
) -> list[tuple[ImageResult, InputFile]]:
    """Return the images that speak for a finding, strongest first.

    Without a finding: the images that were looked at, in their order.
    """
    if finding is None:
        return [pair for pair in evidence.images if _has_pixels(pair)]
    chosen = [
        pair
        for pair in evidence.images
        if pair[0].scores
        and (not finding.images or pair[0].sop_instance_uid in finding.images)
    ]
    index = finding.class_index
    if index is not None and all(index < len(result.scores) for result, _ in chosen):
        chosen.sort(key=lambda pair: -pair[0].scores[index])
    return chosen


def image_reference(result: ImageResult, file: InputFile) -> ImageReference:
    """Reference an image, with the frames that were evaluated where it has frames."""
    named = file.header.number_of_frames > 1 and has_frames(file.sop_class_uid)
    return ImageReference(
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        frames=result.frames[:MAX_LISTED_FRAMES] if named else (),
    )


def evidence_items(study_instance_uid: str, cited: Iterable[Cited]) -> list[Dataset]:
    """Make the item of a Hierarchical SOP Instance Reference Macro (PS3.3 C.17.2.1).

    Series and instances are sorted, so that the order of the files changes nothing.
    """
    ordered = sorted(
        cited, key=lambda one: (one.series_instance_uid, one.sop_instance_uid)
    )
    if not ordered:
        return []
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    series_items = []
    for series_uid, members in groupby(ordered, lambda one: one.series_instance_uid):
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ReferencedSOPSequence = [_sop_item(one) for one in members]
        series_items.append(series)
    study.ReferencedSeriesSequence = series_items
    return [study]


def replaced_by(
    sop_instance_uid: str, predecessors: Sequence[Report], sop_class_uid: str
) -> list[Cited]:
    """Return the reports that a new one in this SOP class comes after.

    A destination keeps one of the classes a report exists in, so the predecessor
    in the same class is the one it has; without such a one, all are named.
    """
    others = [one for one in predecessors if one.sop_instance_uid != sop_instance_uid]
    same = [one for one in others if one.sop_class_uid == sop_class_uid]
    return [
        Cited(
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid,
        )
        for one in dict.fromkeys(same or others)
    ]


def _best_first(
    used: Sequence[InputFile],
    results: Mapping[SOPInstanceUID, ImageResult],
    files: Sequence[InputFile],
) -> list[InputFile]:
    """Order files by how well they stand for what was evaluated."""

    def distance(file: InputFile) -> int:
        result = results.get(file.sop_instance_uid)
        if result is not None and result.scores:
            return 0
        return 1 if file.header.has_pixels else 2

    return [*sorted(used, key=distance), *sorted(files, key=distance)]


def _source_header(candidates: Sequence[InputFile]) -> tuple[Dataset, InputFile]:
    for file in candidates:
        header = read_header(file.path)
        if header is not None and text_of(header, "StudyInstanceUID"):
            return header, file
    raise ReportError("no file of the study can be read back with a Study Instance UID")


def _cite(file: InputFile) -> Cited | None:
    series_uid = str(file.series_instance_uid)
    if not series_uid:
        header = read_header(file.path, ("SeriesInstanceUID",))
        series_uid = "" if header is None else text_of(header, "SeriesInstanceUID")
    uids = (file.sop_class_uid, file.sop_instance_uid, series_uid)
    if not all(_UID.fullmatch(uid) for uid in uids):
        return None
    return Cited(
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        series_instance_uid=series_uid,
    )


def _distinct(files: Sequence[InputFile]) -> list[InputFile]:
    return list({file.sop_instance_uid: file for file in files}.values())


def _has_pixels(pair: tuple[ImageResult, InputFile]) -> bool:
    return bool(pair[0].scores) or pair[1].header.has_pixels


def _sop_item(one: Cited) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = one.sop_class_uid
    item.ReferencedSOPInstanceUID = one.sop_instance_uid
    return item
