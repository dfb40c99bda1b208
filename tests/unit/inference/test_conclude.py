"""From scores to findings and an outcome."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from dicom_node.core.errors import InferenceError, ScoreError
from dicom_node.core.states import Outcome
from dicom_node.core.types import CodedConcept
from inference.api import ClassSpec, ModelCard
from inference.conclude import aggregate, aggregate_frames, conclude, decide
from tests.unit.inference.cards import PNEUMONIA, make_card


def _card(*classes: ClassSpec, **changes: object) -> ModelCard:
    return make_card(Path(), classes=classes or (PNEUMONIA,), **changes)


def _class(code: str, threshold: float | None = None) -> ClassSpec:
    concept = CodedConcept(value=code, scheme="99T", meaning=code)
    return ClassSpec(name=code, concept=concept, threshold=threshold)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("max", 0.8), ("mean", 0.5), ("noisy_or", 1 - 0.8 * 0.5 * 0.2)],
)
def test_scores_aggregate_as_the_method_says(method: str, expected: float) -> None:
    assert aggregate([[0.2], [0.5], [0.8]], method) == pytest.approx((expected,))


@pytest.mark.parametrize("method", ["max", "mean", "noisy_or"])
def test_the_order_of_images_changes_no_bit(method: str) -> None:
    rows = [[0.1, 0.7], [1 / 3, 0.2], [0.9, 1e-7], [0.123456, 0.5]]
    results = {aggregate(list(order), method) for order in permutations(rows)}
    assert len(results) == 1


@pytest.mark.parametrize("scores", [[], [[]], [[float("nan")]], [[1.1]], [[-0.1]]])
def test_what_is_no_probability_is_not_aggregated(scores: list[list[float]]) -> None:
    with pytest.raises(InferenceError):
        aggregate(scores, "max")


@pytest.mark.parametrize(
    ("probability", "present", "outcome"),
    [
        (0.5, True, Outcome.PRESENT),  # at the threshold is present
        (0.499, None, Outcome.UNDETERMINED),
        (0.3, None, Outcome.UNDETERMINED),
        (0.299, False, Outcome.ABSENT),
    ],
)
def test_threshold_and_band_decide(
    probability: float, present: bool | None, outcome: Outcome
) -> None:
    card = _card(replace(PNEUMONIA, undetermined_below=0.3))
    findings = conclude(card, [[probability]])
    assert [(item.present, item.threshold) for item in findings] == [(present, 0.5)]
    assert decide(findings) is outcome


def test_one_suspicious_image_makes_a_present_study() -> None:
    findings = conclude(_card(), [[0.1], [0.9], [0.2]])
    assert (findings[0].present, findings[0].probability) == (True, 0.9)


def test_a_class_that_is_not_reported_gives_no_finding_but_keeps_the_index() -> None:
    normal = replace(_class("n"), report=False)
    findings = conclude(_card(normal, PNEUMONIA), [[0.9, 0.1]])
    assert [(item.class_index, item.concept) for item in findings] == [
        (1, PNEUMONIA.concept)
    ]


def test_top_k_never_cuts_off_a_decision() -> None:
    card = _card(_class("a"), _class("b"), _class("c"), _class("d", 0.01), top_k=2)
    findings = conclude(card, [[0.3, 0.5, 0.18, 0.02]])
    assert [item.concept.value for item in findings] == ["b", "a", "d"]
    assert decide(findings) is Outcome.PRESENT


def test_classes_without_thresholds_decide_nothing() -> None:
    findings = conclude(_card(_class("a"), _class("b")), [[0.99, 0.01]])
    assert [item.present for item in findings] == [None, None]
    assert decide(findings) is Outcome.UNDETERMINED
    mixed = conclude(_card(_class("a"), _class("b", 0.5)), [[0.99, 0.01]])
    assert decide(mixed) is Outcome.ABSENT


def test_scores_that_do_not_fit_the_card_are_refused() -> None:
    with pytest.raises(InferenceError, match="do not fit"):
        conclude(_card(), [[0.1, 0.2]])


def test_the_mean_of_the_highest_leaves_out_the_rest() -> None:
    rows = [[0.1, 0.2], [0.9, 0.4], [0.5, 0.6], [0.2, 0.8]]
    # By hand: (0.9 + 0.5) / 2 and (0.8 + 0.6) / 2.
    assert aggregate(rows, "topk_mean", k=2) == pytest.approx((0.7, 0.7))
    assert aggregate(rows[:1], "topk_mean", k=2) == (0.1, 0.2)
    orders = {aggregate(list(o), "topk_mean", k=2) for o in permutations(rows)}
    assert len(orders) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_fails_whatever_it_measures(value: float) -> None:
    for measures in (False, True):
        with pytest.raises(ScoreError, match="not a number"):
            aggregate([[0.5], [value]], "mean", measures=measures)


def _regression(**changes: object) -> ModelCard:
    months = CodedConcept(value="mo", scheme="UCUM", meaning="month")
    item = replace(PNEUMONIA, threshold=None, unit=months, lower=0.0, upper=240.0)
    return _card(
        replace(item, **changes),  # type: ignore[arg-type]  # any field, by its name
        activation="identity",
        aggregate_images="mean",
    )


def test_a_regression_gives_a_value_with_its_unit_and_no_decision() -> None:
    (finding,) = conclude(_regression(), [[120.0], [132.0]])
    assert (finding.value, finding.present) == (126.0, None)
    assert finding.unit is not None
    assert finding.unit.value == "mo"
    assert decide([finding]) is Outcome.UNDETERMINED


@pytest.mark.parametrize(("value", "present"), [(99.9, False), (100.0, True)])
def test_a_threshold_of_a_value_is_in_its_unit(value: float, present: bool) -> None:
    (finding,) = conclude(_regression(threshold=100.0), [[value]])
    assert (finding.present, finding.threshold) == (present, 100.0)


@pytest.mark.parametrize("value", [-0.1, 240.1])
def test_a_value_beyond_the_range_of_the_card_fails(value: float) -> None:
    with pytest.raises(ScoreError, match="outside the range"):
        conclude(_regression(), [[value]])


def test_noisy_or_of_values_is_refused() -> None:
    card = replace(_regression(), aggregate_images="noisy_or")
    with pytest.raises(InferenceError, match="noisy_or"):
        conclude(card, [[1.0]])


def test_frames_are_aggregated_as_the_card_says() -> None:
    card = replace(_card(), aggregate_frames="topk_mean", aggregate_k=2)
    assert aggregate_frames(card, [[0.1], [0.9], [0.5]]) == pytest.approx((0.7,))
