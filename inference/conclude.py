"""From the images' scores to findings and an outcome."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import InferenceError
from dicom_node.core.states import Outcome
from dicom_node.core.types import Finding
from inference.api import ClassSpec, ModelCard


def aggregate(scores: Sequence[Sequence[float]], method: str) -> tuple[float, ...]:
    """Make one probability per class of those of several frames or images.

    The order of the input does not change the result.

    Args:
        method: "max", "mean", or "noisy_or": 1 - (1 - p1)(1 - p2)..., the chance
            that at least one is positive if they are independent.

    Raises:
        InferenceError: there are no scores, or one is not a probability.
    """
    table: npt.NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise InferenceError("there are no scores to aggregate")
    if not bool(((table >= 0) & (table <= 1)).all()):
        raise InferenceError("a score is not a probability")
    table = np.sort(table, axis=0)
    if method == "max":
        values = table.max(axis=0)
    elif method == "mean":
        values = table.mean(axis=0)
    elif method == "noisy_or":
        values = 1.0 - np.prod(1.0 - table, axis=0)
    else:
        raise InferenceError(f"no aggregation is called '{method}'")
    return tuple(float(value) for value in np.clip(values, 0.0, 1.0))


def conclude(card: ModelCard, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
    """Make findings of the images' scores.

    With `top_k` the most probable classes come, most probable first, and every
    class that is present beside them: a decision is never cut off.

    Args:
        scores: (images, classes), each image's aggregated over its frames.

    Raises:
        InferenceError: the scores do not fit the card.
    """
    probabilities = aggregate(scores, card.aggregate_images)
    if len(probabilities) != len(card.classes):
        raise InferenceError("the scores do not fit the classes of the card")
    findings = [
        _finding(item, index, probabilities[index])
        for index, item in enumerate(card.classes)
        if item.report
    ]
    if card.top_k is None:
        return tuple(findings)
    findings.sort(key=lambda finding: -finding.probability)
    return tuple(
        finding
        for place, finding in enumerate(findings)
        if place < card.top_k or finding.present
    )


def _finding(item: ClassSpec, index: int, probability: float) -> Finding:
    present: bool | None = None
    if item.threshold is not None:
        in_band = item.undetermined_below is not None and (
            item.undetermined_below <= probability < item.threshold
        )
        present = None if in_band else probability >= item.threshold
    return Finding(
        concept=item.concept,
        present=present,
        probability=probability,
        threshold=item.threshold,
        site=item.site,
        class_index=index,
    )


def decide(findings: Sequence[Finding]) -> Outcome:
    """Say what the findings come to.

    Absent needs at least one decision and no class that was left undecided within
    its undetermined band; classes without a threshold are only reported.
    """
    if any(finding.present for finding in findings):
        return Outcome.PRESENT
    decided = [finding for finding in findings if finding.threshold is not None]
    if decided and all(finding.present is False for finding in decided):
        return Outcome.ABSENT
    return Outcome.UNDETERMINED
