"""The site's table: which finding makes a study how urgent, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from math import floor
from typing import Final

from config.worklist import PriorityRule, WorklistTable
from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import Finding, Prediction, Suggestion

_WITHOUT_RESULT: Final = (Outcome.NOT_EVALUATED, Outcome.FAILED)
_MOST_URGENT_FIRST: Final = tuple(Urgency)
_REASONS: Final = 3
_MAX_MEANING: Final = 64
_NOTHING: Final = "no finding of the site's table"

# Requested Procedure Priority (0040,1003), the most urgent first (PS3.3 C.4.11).
_ORDER_PRIORITIES: Final = ("STAT", "HIGH", "ROUTINE", "MEDIUM", "LOW")
_AS_ORDER_PRIORITY: Final = {
    Urgency.STAT: "STAT",
    Urgency.URGENT: "HIGH",
    Urgency.ROUTINE: "ROUTINE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A finding that a rule of the table takes.

    Args:
        rule: its place in the table, from 1.
    """

    rule: int
    urgency: Urgency
    finding: Finding
    reason: str


class PriorityTable:
    """Suggests what the [worklist] table says of a prediction."""

    def __init__(self, settings: WorklistTable) -> None:
        self._settings = settings

    def suggest(self, prediction: Prediction, *, now: datetime) -> Suggestion | None:
        """Return the most urgent that a rule says, else the default, if there is one.

        Args:
            now: from when on it expires.
        """
        if prediction.outcome in _WITHOUT_RESULT:
            return None
        matches = self.matches(prediction)
        if matches:
            urgency = matches[0].urgency
            reasons = [one.reason for one in matches if one.urgency is urgency]
            reason = "; ".join(list(dict.fromkeys(reasons))[:_REASONS])
        elif self._settings.default:
            urgency, reason = Urgency(self._settings.default), _NOTHING
        else:
            return None
        minutes = self._settings.expires_minutes
        return Suggestion(
            urgency=urgency,
            reason=reason,
            expires_at=now + timedelta(minutes=minutes) if minutes else None,
        )

    def matches(self, prediction: Prediction) -> tuple[Match, ...]:
        """Return every rule that takes a finding, the most urgent first."""
        if prediction.outcome in _WITHOUT_RESULT:
            return ()
        found = _matches(self._settings.rules, prediction)
        return tuple(
            sorted(
                found,
                key=lambda one: (
                    _MOST_URGENT_FIRST.index(one.urgency),
                    -one.finding.probability,
                    one.rule,
                ),
            )
        )


def most_urgent(suggestions: Sequence[Suggestion]) -> Suggestion | None:
    """Return the most urgent suggestion, the first of several; None without one."""
    ranked = sorted(suggestions, key=lambda one: _MOST_URGENT_FIRST.index(one.urgency))
    return ranked[0] if ranked else None


def never_below(order: str, urgency: Urgency) -> str:
    """Raise a Requested Procedure Priority to what is suggested, never lower it.

    An order's priority that DICOM does not define is not compared: it stays.

    Source: PS3.3 C.4.11 (0040,1003).
    """
    suggested = _AS_ORDER_PRIORITY[urgency]
    own = order.strip().upper()
    if not own:
        return suggested
    if own not in _ORDER_PRIORITIES:
        return order
    raised = _ORDER_PRIORITIES.index(suggested) < _ORDER_PRIORITIES.index(own)
    return suggested if raised else order


def _matches(rules: Sequence[PriorityRule], prediction: Prediction) -> Iterator[Match]:
    for place, rule in enumerate(rules, start=1):
        if not fnmatchcase(prediction.model.casefold(), rule.model.casefold()):
            continue
        for finding in prediction.findings:
            if _is_named(rule, finding) and (reason := _reason(rule, finding)):
                yield Match(
                    rule=place,
                    urgency=Urgency(rule.urgency),
                    finding=finding,
                    reason=reason,
                )


def _is_named(rule: PriorityRule, finding: Finding) -> bool:
    concept = finding.concept
    if rule.code and rule.code != concept.value:
        return False
    if rule.scheme and rule.scheme != concept.scheme:
        return False
    return not rule.finding or fnmatchcase(
        concept.meaning.casefold(), rule.finding.casefold()
    )


def _reason(rule: PriorityRule, finding: Finding) -> str:
    """Say in a few words why the rule holds; "" if it does not."""
    measured = finding.value
    if rule.value_at_least is not None:
        if measured is None or not measured >= rule.value_at_least:
            return ""
        return _compare(finding, measured, rule.value_at_least)
    if rule.at_least == "present":
        if not finding.present:
            return ""
        number = finding.probability if measured is None else measured
        if finding.threshold is None:
            return f"{_name(finding)} present"
        return _compare(finding, number, finding.threshold)
    if measured is not None or not finding.probability >= rule.at_least:
        return ""
    return _compare(finding, finding.probability, rule.at_least)


def _compare(finding: Finding, number: float, limit: float) -> str:
    """Say it with two digits, or four where two would make them contradict."""
    if not number >= limit:  # the model decided otherwise than by this limit
        return f"{_name(finding)} {_digits(number, 4)}, present"
    unit = f" {finding.unit.value}" if finding.unit is not None else ""
    found, bound, digits = _floor(number, 2), round(limit, 2), 2
    if found < bound or (found == bound and number != limit):
        found, bound, digits = _floor(number, 4), _floor(limit, 4), 4
    return (
        f"{_name(finding)} {_digits(found, digits)}{unit} "
        f"at or above {_digits(bound, digits)}{unit}"
    )


def _name(finding: Finding) -> str:
    name = " ".join(finding.concept.meaning.split())[:_MAX_MEANING]
    side = finding.laterality or finding.view
    return f"{name} ({side.meaning[:_MAX_MEANING]})" if side is not None else name


def _floor(number: float, digits: int) -> float:
    """Cut a number off, so that what is shown is never more than what was found."""
    # What floats make of 0.93 * 100 lies below 93.
    power = 10.0**digits
    return floor(round(number * power, 6)) / power


def _digits(number: float, digits: int) -> str:
    return f"{number:.{digits}f}" if abs(number) < 1e6 else f"{number:.6g}"
