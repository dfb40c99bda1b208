"""How the report identifies the algorithm (TID 4019), and with what it was run."""

from collections.abc import Iterator, Sequence

from highdicom import sr

from dicom_node.core.errors import ReportError
from dicom_node.core.provenance import Provenance
from dicom_node.core.types import Finding, Prediction
from dicom_node.report import codes as terms
from dicom_node.report.evidence import Evidence
from dicom_node.report.legal import free_text, plain_text


def algorithm(
    prediction: Prediction, evidence: Evidence, first: Sequence[str]
) -> sr.AlgorithmIdentification:
    """Identify the algorithm (TID 4019), with what a reader needs to judge a score."""
    return sr.AlgorithmIdentification(
        name=required_text(prediction.model, "name"),
        version=required_text(prediction.model_version, "version"),
        manufacturer=free_text(prediction.manufacturer) or None,
        family=terms.ARTIFICIAL_INTELLIGENCE,
        parameters=[*first, *_parameters(prediction, evidence)],
    )


def _parameters(prediction: Prediction, evidence: Evidence) -> list[str]:
    lines = [f"weights sha256 {prediction.weights_sha256}"]
    lines += _made_with(prediction.provenance)
    lines += [f"{name} {value}" for name, value in prediction.parameters]
    named = {name for name, _ in prediction.parameters}
    windowings = dict.fromkeys(
        image.windowing for image in prediction.evaluated if image.windowing
    )
    if windowings and "windowing" not in named:
        lines.append(f"windowing {', '.join(windowings)}")
    if prediction.images:
        evaluated, considered = len(prediction.evaluated), len(prediction.images)
        lines.append(f"images evaluated {evaluated} of {considered}")
    if prediction.research_only:
        lines.append("intended use research only, not for diagnosis")
    if evidence.uncited:
        lines.append(f"instances not cited for want of a usable UID {evidence.uncited}")
    return [text for text in map(free_text, lines) if text]


def _made_with(made_with: Provenance | None) -> Iterator[str]:
    if made_with is None:
        return
    yield f"card sha256 {made_with.card_sha256}"
    yield f"code {made_with.code_version} sha256 {made_with.code_sha256}"
    yield f"preprocessing sha256 {made_with.preprocessing_sha256}"


def threshold(finding: Finding) -> str:
    """Give the operating point of a finding as a parameter."""
    if finding.threshold is None:
        return "threshold none"
    return f"threshold {float(finding.threshold):.6g}"


def required_text(text: str, what: str) -> str:
    """Return a text of the card that the report cannot do without.

    Args:
        what: its name, for people.

    Raises:
        ReportError: nothing of it can be written.
    """
    cleaned = plain_text(text, 1024)
    if not cleaned:
        raise ReportError(f"the model has no {what}: complete the model card")
    return cleaned
