"""From the images' scores to findings and an outcome."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import InferenceError, ScoreError
from dicom_node.core.states import Outcome
from dicom_node.core.types import Finding
from inference.api import ClassSpec, ModelCard


def aggregate(
    scores: Sequence[Sequence[float]],
    method: str,
    *,
    k: int = 3,
    measures: bool = False,
) -> tuple[float, ...]:
    """Make one score per class of those of several frames or images.

    The order of the input does not change the result.

    Args:
        method: "max", "mean", "topk_mean" (the mean of the k highest of each class),
            or "noisy_or": 1 - (1 - p1)(1 - p2)..., the chance that at least one is
            positive if they are independent.
        k: of "topk_mean"; where there are fewer, all count.
        measures: the scores are measured values, not probabilities.

    Raises:
        ScoreError: a score is not a finite number, or not a probability.
        InferenceError: there are no scores, or no such aggregation of them.
    """
    table: npt.NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise InferenceError("there are no scores to aggregate")
    if not bool(np.isfinite(table).all()):
        raise ScoreError("the model gave a score that is not a number")
    if not measures and not bool(((table >= 0) & (table <= 1)).all()):
        raise ScoreError("the model gave a score that is not a probability")
    values = _reduce(np.sort(table, axis=0), method, k=k, measures=measures)
    if not measures:
        values = np.clip(values, 0.0, 1.0)
    return tuple(float(value) for value in values)


def _reduce(
    table: npt.NDArray[np.float64], method: str, *, k: int, measures: bool
) -> npt.NDArray[np.float64]:
    """Reduce (rows, classes), sorted within each class, to (classes,)."""
    values: npt.NDArray[np.float64]
    if method == "max":
        values = table[-1]
    elif method == "mean":
        values = table.mean(axis=0)
    elif method == "topk_mean":
        values = table[-k:].mean(axis=0)
    elif method == "noisy_or" and not measures:
        values = 1.0 - np.prod(1.0 - table, axis=0)
    else:
        raise InferenceError(f"no aggregation of these scores is called '{method}'")
    return values


def aggregate_frames(
    card: ModelCard, scores: Sequence[Sequence[float]]
) -> tuple[float, ...]:
    """Make one score per class of an image of those of its frames.

    Raises:
        InferenceError: as `aggregate`.
    """
    return aggregate(
        scores, card.aggregate_frames, k=card.aggregate_k, measures=card.measures
    )


def conclude(card: ModelCard, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
    """Make findings of the images' scores, all of one group.

    With `top_k` the most probable classes come, most probable first, and every
    class that is present beside them: a decision is never cut off.

    Args:
        scores: (images, classes), each image's aggregated over its frames.

    Raises:
        ScoreError: a score is no result.
        InferenceError: the scores do not fit the card.
    """
    values = aggregate(
        scores, card.aggregate_images, k=card.aggregate_k, measures=card.measures
    )
    if len(values) != len(card.classes):
        raise InferenceError("the scores do not fit the classes of the card")
    make = _measured if card.measures else _finding
    findings = [
        make(item, index, values[index])
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


def _present(item: ClassSpec, score: float) -> bool | None:
    if item.threshold is None:
        return None
    in_band = item.undetermined_below is not None and (
        item.undetermined_below <= score < item.threshold
    )
    return None if in_band else score >= item.threshold


def _measured(item: ClassSpec, index: int, value: float) -> Finding:
    low = -np.inf if item.lower is None else item.lower
    high = np.inf if item.upper is None else item.upper
    if not low <= value <= high:
        raise ScoreError(
            "the model gave a value outside the range that its card names (lower, "
            "upper): nothing of this study is reported"
        )
    return Finding(
        concept=item.concept,
        present=_present(item, value),
        probability=0.0,
        threshold=item.threshold,
        site=item.site,
        class_index=index,
        value=value,
        unit=item.unit,
    )


def _finding(item: ClassSpec, index: int, probability: float) -> Finding:
    return Finding(
        concept=item.concept,
        present=_present(item, probability),
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
