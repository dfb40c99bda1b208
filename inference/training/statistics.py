"""How good a binary classifier is, with bootstrap intervals; numpy only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.api import Estimate

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Measure = Callable[[Floats, Flags], float]

# Bins of the reliability curve and of the expected calibration error.
CALIBRATION_BINS = 10


def area_under_curve(scores: Floats, present: Flags) -> float:
    """Give the chance that a present case outscores an absent one, ties half.

    The rank-sum form of the area under the ROC curve; NaN without both classes.
    """
    positives = int(present.sum())
    negatives = present.size - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mid_ranks = last - (counts - 1) / 2  # ranks from 1; ties share their mean
    rank_sum = float(mid_ranks[inverse][present].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def sensitivity(scores: Floats, present: Flags, *, threshold: float) -> float:
    """Give the share of present cases at or above the threshold."""
    chosen = scores[present] >= threshold
    return float(chosen.mean()) if chosen.size else float("nan")


def specificity(scores: Floats, present: Flags, *, threshold: float) -> float:
    """Give the share of absent cases below the threshold."""
    chosen = scores[~present] < threshold
    return float(chosen.mean()) if chosen.size else float("nan")


def brier(scores: Floats, present: Flags) -> float:
    """Give the mean squared distance of probability and outcome."""
    return float(np.mean((scores - present) ** 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """One bin of the reliability curve: said, seen, and how often."""

    mean_probability: float
    share_present: float
    count: int


def reliability(scores: Floats, present: Flags) -> tuple[ReliabilityBin, ...]:
    """Compare said and seen in equal-width bins of probability; empty ones drop."""
    index = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = []
    for number in range(CALIBRATION_BINS):
        inside = index == number
        if inside.any():
            bins.append(
                ReliabilityBin(
                    mean_probability=float(scores[inside].mean()),
                    share_present=float(present[inside].mean()),
                    count=int(inside.sum()),
                )
            )
    return tuple(bins)


def expected_calibration_error(scores: Floats, present: Flags) -> float:
    """Give the mean distance of said and seen over the reliability bins."""
    total = sum(
        item.count * abs(item.mean_probability - item.share_present)
        for item in reliability(scores, present)
    )
    return total / scores.size


def roc_curve(scores: Floats, present: Flags) -> tuple[Floats, Floats]:
    """Give (1 - specificity, sensitivity) at every distinct score, from (0, 0)."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], present[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    true = np.cumsum(hits)[ends] / max(1, int(present.sum()))
    false = np.cumsum(~hits)[ends] / max(1, int((~present).sum()))
    return np.insert(false, 0, 0.0), np.insert(true, 0, 0.0)


def draw_resamples(
    present: Flags, groups: Sequence[str], *, resamples: int, seed: int
) -> list[npt.NDArray[np.intp]]:
    """Draw bootstrap samples, stratified by class, of whole groups.

    Args:
        groups: the patient of each image, or any unique text where unknown:
            images of one patient are drawn together, so that the interval does
            not shrink with the number of images per patient.
    """
    generator = np.random.default_rng(seed)
    strata = []
    for value in (False, True):
        members: dict[str, list[int]] = {}
        for index in np.flatnonzero(present == value).tolist():
            members.setdefault(groups[index], []).append(index)
        if members:
            strata.append([np.array(item, dtype=np.intp) for item in members.values()])
    drawn = []
    for _ in range(resamples):
        parts = [
            stratum[choice]
            for stratum in strata
            for choice in generator.integers(len(stratum), size=len(stratum))
        ]
        drawn.append(np.concatenate(parts))
    return drawn


def estimate(
    measure: Measure,
    scores: Floats,
    present: Flags,
    resamples: Sequence[npt.NDArray[np.intp]],
) -> Estimate:
    """Measure once on everything and give the 95 % percentile interval."""
    value = measure(scores, present)
    if not resamples:
        return Estimate(estimate=value, low=float("nan"), high=float("nan"))
    drawn = [measure(scores[chosen], present[chosen]) for chosen in resamples]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Estimate(estimate=value, low=float(low), high=float(high))
