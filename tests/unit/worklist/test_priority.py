"""The site's table: code, name, model and threshold to STAT, URGENT or ROUTINE."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from config.worklist import PriorityRule, WorklistTable
from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import Prediction, Suggestion
from dicom_node.worklist.priority import PriorityTable, most_urgent, never_below
from tests.unit.worklist.results import (
    FINISHED,
    PNEUMONIA,
    RIGHT,
    finding,
    measured,
    nothing,
    prediction,
)


def _table(*rules: dict[str, Any], **settings: Any) -> PriorityTable:
    return PriorityTable(WorklistTable.model_validate({**settings, "rules": rules}))


def _suggest(table: PriorityTable, made: Prediction) -> Suggestion | None:
    return table.suggest(made, now=FINISHED)


ANY_STAT = {"finding": "*", "urgency": "STAT"}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"code": "36118008"}, True),
        ({"code": "36118008", "scheme": "SCT"}, True),
        ({"code": "36118008", "scheme": "LN"}, False),
        ({"code": "36118009"}, False),
        ({"finding": "pneumo*"}, True),
        ({"finding": "PNEUMOTHORAX"}, True),
        ({"finding": "pneumonia"}, False),
        ({"finding": "*", "model": "CX?"}, True),
        ({"finding": "*", "model": "mr-*"}, False),
        ({"finding": "*", "at_least": 0.93}, True),
        ({"finding": "*", "at_least": 0.9301}, False),
        ({"finding": "*", "at_least": "present"}, True),
    ],
)
def test_a_rule_holds_when_everything_it_names_does(
    rule: dict[str, Any], holds: bool
) -> None:
    made = prediction(finding(probability=0.93))
    found = _suggest(_table({**rule, "urgency": "STAT"}), made)
    assert (found is not None) == holds


def test_the_most_urgent_rule_counts_wherever_it_stands() -> None:
    table = _table(
        {"finding": "*", "urgency": "ROUTINE"},
        {"finding": "pneumothorax", "urgency": "STAT"},
        {"finding": "pneumonia", "urgency": "URGENT"},
    )
    found = _suggest(table, prediction(finding(PNEUMONIA), finding()))
    assert found is not None
    assert found.urgency is Urgency.STAT
    assert found.reason == "Pneumothorax 0.93 at or above 0.50"


@pytest.mark.parametrize(
    ("probability", "threshold", "reason"),
    [
        (0.93, 0.59, "Pneumonia 0.93 at or above 0.59"),
        (0.939, 0.59, "Pneumonia 0.93 at or above 0.59"),
        (0.5931, 0.5866, "Pneumonia 0.5931 at or above 0.5866"),
        (0.5866, 0.5866, "Pneumonia 0.5866 at or above 0.5866"),
        (1.0, 0.5, "Pneumonia 1.00 at or above 0.50"),
    ],
)
def test_the_reason_never_says_more_than_was_found(
    probability: float, threshold: float, reason: str
) -> None:
    made = prediction(finding(PNEUMONIA, probability, threshold))
    found = _suggest(_table(ANY_STAT), made)
    assert found is not None
    assert found.reason == reason


def test_the_reason_names_the_side() -> None:
    found = _suggest(_table(ANY_STAT), prediction(finding(laterality=RIGHT)))
    assert found is not None
    assert found.reason == "Pneumothorax (Right) 0.93 at or above 0.50"


def test_a_probability_is_compared_by_the_sites_threshold_without_a_decision() -> None:
    table = _table({"finding": "*", "at_least": 0.3, "urgency": "URGENT"})
    undecided = prediction(
        finding(probability=0.4, threshold=None), outcome=Outcome.UNDETERMINED
    )
    found = _suggest(table, undecided)
    assert found is not None
    assert found.reason == "Pneumothorax 0.40 at or above 0.30"


def test_a_measured_value_has_a_limit_of_its_own() -> None:
    made = prediction(measured(57.25), outcome=Outcome.UNDETERMINED)
    table = _table({"finding": "*aorta*", "value_at_least": 55, "urgency": "URGENT"})
    found = _suggest(table, made)
    assert found is not None
    assert found.reason == ("Ascending aorta diameter 57.25 mm at or above 55.00 mm")
    small = prediction(measured(54.9), outcome=Outcome.UNDETERMINED)
    assert _suggest(table, small) is None
    probable = _table({"finding": "*", "at_least": 0.1, "urgency": "STAT"})
    assert _suggest(probable, made) is None


def test_a_negative_result_suggests_only_what_the_site_says() -> None:
    negative = prediction(finding(probability=0.1))
    assert _suggest(_table(ANY_STAT), negative) is None
    found = _suggest(_table(ANY_STAT, default="ROUTINE"), negative)
    assert found is not None
    assert found.urgency is Urgency.ROUTINE


@pytest.mark.parametrize("outcome", [Outcome.NOT_EVALUATED, Outcome.FAILED])
def test_a_study_without_a_result_suggests_nothing(outcome: Outcome) -> None:
    made = prediction(finding(), outcome=outcome)
    assert _suggest(_table(ANY_STAT, default="ROUTINE"), made) is None
    assert _suggest(_table(ANY_STAT, default="ROUTINE"), nothing()) is None


def test_a_suggestion_expires_as_configured() -> None:
    found = _suggest(_table(ANY_STAT, expires_minutes=90), prediction(finding()))
    assert found is not None
    assert found.expires_at == FINISHED + timedelta(minutes=90)
    found = _suggest(_table(ANY_STAT, expires_minutes=0), prediction(finding()))
    assert found is not None
    assert found.expires_at is None


# The defined terms of (0040,1003) from the most to the least urgent.
@pytest.mark.parametrize(
    ("order", "urgency", "shown"),
    [
        ("STAT", Urgency.URGENT, "STAT"),
        ("HIGH", Urgency.STAT, "STAT"),
        ("ROUTINE", Urgency.URGENT, "HIGH"),
        ("low ", Urgency.ROUTINE, "ROUTINE"),
        ("HIGH", Urgency.ROUTINE, "HIGH"),
        ("", Urgency.ROUTINE, "ROUTINE"),
        ("TODAY", Urgency.STAT, "TODAY"),
    ],
)
def test_an_orders_own_priority_is_raised_and_never_lowered(
    order: str, urgency: Urgency, shown: str
) -> None:
    assert never_below(order, urgency) == shown


def test_the_most_urgent_of_several_suggestions_is_taken() -> None:
    routine = Suggestion(urgency=Urgency.ROUTINE, reason="a")
    stat = Suggestion(urgency=Urgency.STAT, reason="b")
    assert most_urgent([routine, stat]) is stat
    assert most_urgent([]) is None


@pytest.mark.parametrize(
    "rule",
    [
        {"urgency": "STAT"},
        {"scheme": "SCT", "finding": "*", "urgency": "STAT"},
        {"finding": "*", "urgency": "LATER"},
        {"finding": "*", "at_least": 80, "urgency": "STAT"},
        {"finding": "*", "at_least": 0.8, "value_at_least": 3, "urgency": "STAT"},
        {"finding": "*", "value_at_least": "nan", "urgency": "STAT"},
        {"finding": "*"},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PriorityRule.model_validate(rule)
