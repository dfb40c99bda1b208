"""What a model says of a study, and the report that carries it. Frozen values."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from dicom_node.core.ids import (
    DeviceUID,
    ReportId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
)
from dicom_node.core.provenance import Provenance
from dicom_node.core.states import Outcome, Proof, ReportKind

# How the reason begins of an image that was within the scope and not asked for.
NOT_SELECTED: Final = "not selected: "


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedConcept:
    """A code, its scheme and its meaning (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One target condition and what the model says of it.

    Args:
        present: True, False, or None when no decision was taken.
        probability: 0..1, aggregated over the images that were evaluated; 0 and
            without meaning where there is a `value`.
        threshold: the operating point in the same unit, None without a decision.
        site: anatomic site, if the card names one.
        class_index: position in `ImageResult.scores`, None when not known; the
            report then cannot list the strongest images first.
        value: what was measured, in `unit`; None for a condition.
        laterality, view: the side or view that it was grouped by.
        note: a sentence on the group, e.g. that its images name no side.
        images: those it was aggregated from; () for all that were evaluated.
    """

    concept: CodedConcept
    present: bool | None
    probability: float
    threshold: float | None
    site: CodedConcept | None = None
    class_index: int | None = None
    value: float | None = None
    unit: CodedConcept | None = None
    laterality: CodedConcept | None = None
    view: CodedConcept | None = None
    note: str = ""
    images: tuple[SOPInstanceUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What became of one image of the study.

    Args:
        frames: frame numbers that were evaluated, from 1.
        scores: aggregated over frames, one per class; () unless evaluated.
        skipped: why the image was left out ("" if evaluated): out of scope.
        error: why it failed ("" if it did not): undecodable, broken.
        windowing: which windowing was applied, e.g. "file window", "percentile".
        peaks: the frame with the highest score of each class; () where one frame was
            evaluated, and in results of version 0.1.
    """

    sop_instance_uid: SOPInstanceUID
    frames: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    skipped: str = ""
    error: str = ""
    windowing: str = ""
    peaks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of a study at one revision.

    Args:
        reason: a sentence for people; "" when findings speak for themselves.
        parameters: what reading a score needs: aggregation, windowing,
            calibration, preprocessing id, torch and device; text to text.
        images: every image considered, in the order of the input.
        research_only: the card's intended use.
        provenance: what it was made with; None in results of version 0.1.
    """

    outcome: Outcome
    reason: str
    model: str
    model_version: str
    manufacturer: str
    device_uid: DeviceUID
    weights_sha256: str
    findings: tuple[Finding, ...]
    images: tuple[ImageResult, ...]
    parameters: tuple[tuple[str, str], ...]
    research_only: bool
    started_at: datetime
    finished_at: datetime
    provenance: Provenance | None = None

    @property
    def evaluated(self) -> tuple[ImageResult, ...]:
        """The images that gave a score."""
        return tuple(image for image in self.images if image.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An object or message that carries a result, written to disk.

    Args:
        sop_class_uid, sop_instance_uid, series_instance_uid: "" for messages, which
            have in `sop_instance_uid` what identifies them (MSH-10, Bundle.identifier).
        kind: what it is.
        destination: whom a message was written for; "" for objects, which are the
            same for everybody.
        file_key: name in the report store.
        sha256: of the whole file, hex.
    """

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    series_instance_uid: SeriesInstanceUID
    file_key: str
    sha256: str
    report_id: ReportId | None = None
    kind: ReportKind = ReportKind.SR
    destination: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """A report as a destination takes it."""

    report: Report
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A report that the destination took.

    Args:
        status: of DIMSE (PS3.4 B.2.3: 0000, Bxxx), HTTP or HL7; None of a folder.
        proof: what that it has it rests on.
        note: why the proof is weaker than it was wished for; "" if it is not.
    """

    status: int | None
    sop_instance_uid: SOPInstanceUID
    proof: Proof = Proof.SENT
    note: str = ""
