"""From logits to calibrated probabilities and an operating point."""

import math

import numpy as np

from inference.api import Calibration
from inference.training.statistics import Flags, Floats

# The operating point: the highest threshold that keeps this validation sensitivity.
# On harder data it was the absent cases that scored higher, while the present ones
# stayed; so the threshold is raised as far as sensitivity allows, with a margin
# above the 0.95 that is wanted.
TARGET_SENSITIVITY = 0.97


def fit_platt(logits: Floats, present: Flags) -> Calibration:
    """Fit p = sigmoid(slope * logit + intercept), both classes weighted alike.

    Platt's smoothed targets keep the slope finite where the classes do not
    overlap. The weights make 0.5 mean "as likely one as the other at equal
    prevalence", whatever the mix of the validation split.

    Source: Platt 1999, with the targets (N+ + 1)/(N+ + 2) and 1/(N- + 2).
    """
    positives = int(present.sum())
    negatives = present.size - positives
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    target = np.where(present, high, low)
    weight = np.where(present, 0.5 / positives, 0.5 / negatives)
    slope, intercept = 1.0, 0.0
    for _ in range(100):  # Newton's method; the loss is convex
        chance = probabilities(logits, slope=slope, intercept=intercept)
        error = weight * (chance - target)
        curve = weight * np.maximum(chance * (1 - chance), 1e-12)
        gradient = np.array([np.sum(error * logits), np.sum(error)])
        hessian = np.array(
            [
                [np.sum(curve * logits**2) + 1e-9, np.sum(curve * logits)],
                [np.sum(curve * logits), np.sum(curve) + 1e-9],
            ]
        )
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / float(np.abs(step).max() + 1e-12))
        slope, intercept = slope - float(step[0]), intercept - float(step[1])
        if float(np.abs(step).max()) < 1e-10:
            break
    if not math.isfinite(slope) or slope <= 0:
        # Scores that do not rise with the disease: say nothing rather than flip.
        return Calibration()
    return Calibration(method="platt", slope=slope, intercept=intercept)


def probabilities(logits: Floats, *, slope: float, intercept: float) -> Floats:
    """Apply a calibration to logits."""
    result: Floats = 0.5 * (1 + np.tanh(0.5 * (slope * logits + intercept)))
    return result


def choose_operating_point(
    scores: Floats, present: Flags, *, target_sensitivity: float = TARGET_SENSITIVITY
) -> float:
    """Give the highest threshold with the wanted sensitivity on these cases.

    Returns:
        a probability, rounded down to three decimals.
    """
    ranked = np.sort(scores[present])
    allowed = math.floor((1 - target_sensitivity) * ranked.size + 1e-9)
    return math.floor(float(ranked[allowed]) * 1000) / 1000
