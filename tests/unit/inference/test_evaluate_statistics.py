"""Figures against closed forms and a second implementation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.training import statistics
from inference.training.calibrate import (
    choose_operating_point,
    fit_platt,
    probabilities,
)

PRESENT = np.array([False, False, True, True])


def count_pairs(scores: np.ndarray, present: np.ndarray) -> float:
    """Count ordered pairs one by one: the definition of the area."""
    won = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[present]
        for low in scores[~present]
    ]
    return sum(won) / len(won)


def test_area_is_the_share_of_ordered_pairs() -> None:
    scores = np.array([0.1, 0.4, 0.35, 0.8])  # the example of scikit-learn: 0.75
    assert statistics.area_under_curve(scores, PRESENT) == pytest.approx(0.75)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30
    ).filter(lambda rows: len({present for _, present in rows}) == 2)
)
def test_area_counts_ties_half(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in rows])
    present = np.array([flag for _, flag in rows])
    area = statistics.area_under_curve(scores, present)
    assert area == pytest.approx(count_pairs(scores, present))
    false, true = statistics.roc_curve(scores, present)
    assert np.trapezoid(true, false) == pytest.approx(area)


def test_area_without_both_classes_is_not_a_number() -> None:
    assert math.isnan(statistics.area_under_curve(np.array([0.5]), np.array([True])))


def test_a_score_at_the_threshold_is_present() -> None:
    scores = np.array([0.2, 0.5, 0.5, 0.9])
    assert statistics.sensitivity(scores, PRESENT, threshold=0.5) == 1.0
    assert statistics.specificity(scores, PRESENT, threshold=0.5) == 0.5


def test_calibration_error_of_a_worked_example() -> None:
    scores = np.array([0.25, 0.25, 0.75, 0.75])
    present = np.array([False, True, True, True])
    # bin 2: said 0.25, seen 0.5; bin 7: said 0.75, seen 1.0
    assert statistics.expected_calibration_error(scores, present) == pytest.approx(0.25)
    assert statistics.brier(scores, present) == pytest.approx(
        (0.25**2 + 0.75**2 + 0.25**2 + 0.25**2) / 4
    )


def test_interval_of_a_share_is_that_of_the_binomial() -> None:
    generator = np.random.default_rng(1)
    present = np.ones(400, dtype=np.bool_)
    scores = (generator.random(400) < 0.9).astype(np.float64)
    groups = [str(index) for index in range(400)]
    drawn = statistics.draw_resamples(present, groups, resamples=2000, seed=0)
    found = statistics.estimate(
        lambda s, p: statistics.sensitivity(s, p, threshold=0.5), scores, present, drawn
    )
    share = scores.mean()
    half = 1.96 * math.sqrt(share * (1 - share) / 400)
    assert found.low == pytest.approx(share - half, abs=0.006)
    assert found.high == pytest.approx(share + half, abs=0.006)


def test_images_of_one_patient_are_drawn_together() -> None:
    present = np.array([True] * 6 + [False] * 2)
    groups = ["a", "a", "a", "b", "b", "b", "c", "d"]
    for chosen in statistics.draw_resamples(present, groups, resamples=20, seed=3):
        counts = np.bincount(chosen, minlength=8)
        assert counts[0] == counts[1] == counts[2]
        assert counts[3] == counts[4] == counts[5]
        assert present[chosen].sum() == 6  # two patients of three images each


def test_resamples_follow_from_the_seed() -> None:
    groups = ["a", "b", "c", "d"]
    first, second = (
        statistics.draw_resamples(PRESENT, groups, resamples=5, seed=7)
        for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_platt_scaling_recovers_a_known_calibration() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 20_000)
    truth = generator.random(20_000) < probabilities(logits, slope=1.7, intercept=0.0)
    fitted = fit_platt(logits, truth)
    assert fitted.method == "platt"
    assert fitted.slope == pytest.approx(1.7, rel=0.05)
    assert fitted.intercept == pytest.approx(0.0, abs=0.06)


def test_platt_scaling_of_separable_scores_stays_finite() -> None:
    fitted = fit_platt(np.array([-2.0, -1.0, 1.0, 2.0]), PRESENT)
    assert 0 < fitted.slope < 10


def test_scores_that_fall_with_the_disease_are_not_flipped() -> None:
    fitted = fit_platt(np.array([2.0, 1.0, -1.0, -2.0]), PRESENT)
    assert fitted.method == "none"


def test_operating_point_is_the_highest_with_the_wanted_sensitivity() -> None:
    scores = np.concatenate([np.linspace(0.1, 0.9, 81), [0.0]])
    present = np.array([True] * 81 + [False])
    threshold = choose_operating_point(scores, present, target_sensitivity=0.95)
    reached = statistics.sensitivity(scores, present, threshold=threshold)
    above = statistics.sensitivity(scores, present, threshold=threshold + 0.01)
    assert reached >= 0.95 > above
