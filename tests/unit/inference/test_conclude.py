"""From scores to findings and an outcome."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from dicom_node.core.errors import InferenceError
from dicom_node.core.states import Outcome
from dicom_node.core.types import CodedConcept
from inference.api import ClassSpec, ModelCard
from inference.conclude import aggregate, conclude, decide
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
