"""What the summary picture says, in words and shares of a bar."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import Finding, Prediction, Suggestion
from dicom_node.report.evidence import Evidence
from dicom_node.report.finding import label, shown_probability, shown_value
from dicom_node.report.left_out import left_out
from dicom_node.report.summary_fonts import is_legible

RESEARCH: Final = "RESEARCH USE ONLY: NOT FOR DIAGNOSIS"
UNVERIFIED: Final = "Not verified by a person"
_PLACES: Final = 2  # of a probability, unless more keep it on its side
_OPERATING_POINT: Final = "operating point"


class State(Enum):
    """What was decided of a finding."""

    PRESENT = "PRESENT"
    ABSENT = "ABSENT"
    UNDETERMINED = "UNDETERMINED"
    VALUE = "MEASURED"


_ORDER: Final = (State.PRESENT, State.UNDETERMINED, State.VALUE, State.ABSENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A finding.

    Args:
        share: of the bar that is filled, 0..1; None without a bar.
        mark: where the operating point stands on it, None without one.
    """

    title: str
    state: State
    number: str
    share: float | None
    mark: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """All that is written on the picture.

    Args:
        priority: what is suggested, None without a suggestion.
        notes: what was not evaluated, and why.
        about: model, manufacturer, time, program.
    """

    headline: str
    state: State | None
    rows: tuple[Row, ...]
    research: bool
    priority: Urgency | None
    priority_reason: str
    notes: tuple[str, ...]
    about: tuple[str, ...]


def by_weight(findings: Sequence[Finding]) -> list[Finding]:
    """Order findings: what is present first, the most probable first."""
    return sorted(
        findings, key=lambda one: (_ORDER.index(_state(one)), -one.probability)
    )


def write_words(
    prediction: Prediction,
    evidence: Evidence,
    *,
    suggestion: Suggestion | None,
    finished: datetime,
    is_update: bool,
) -> Words:
    """Put a result into words.

    Args:
        finished: in the zone that the picture is to name.
        is_update: an earlier revision of the study had a summary of its own.
    """
    rows = tuple(_row(finding) for finding in by_weight(prediction.findings))
    headline, state = _headline(prediction, rows)
    return Words(
        headline=headline,
        state=state,
        rows=rows,
        research=prediction.research_only,
        priority=suggestion.urgency if suggestion else None,
        priority_reason=suggestion.reason if suggestion else "",
        notes=tuple(_notes(prediction, evidence, is_update=is_update)),
        about=tuple(_about(prediction, finished)),
    )


def name_finding(finding: Finding) -> str:
    """Name a finding; by its code where the fonts lack the letters of its meaning."""
    named = label(finding)
    if is_legible(named):
        return named
    return f"{finding.concept.value} ({finding.concept.scheme})"


def say_number(finding: Finding) -> str:
    """Say what a finding was measured as, against its operating point."""
    point = finding.threshold
    if finding.value is not None:
        unit = f" {_unit(finding)}" if finding.unit else ""
        text = f"{shown_value(finding):g}{unit}"
        return text if point is None else f"{text} · {_OPERATING_POINT} {point:.6g}"
    shown = shown_probability(finding, decimals=_PLACES)
    number = f"{shown:.{_PLACES}f}" if round(shown, _PLACES) == shown else f"{shown:g}"
    if point is None:
        return f"Probability {number} · no {_OPERATING_POINT}"
    mark = f"{point:.{_PLACES}f}" if round(point, _PLACES) == point else f"{point:.6g}"
    return f"Probability {number} · {_OPERATING_POINT} {mark}"


def _unit(finding: Finding) -> str:
    if finding.unit is None:
        return ""
    return finding.unit.meaning if len(finding.unit.value) > 8 else finding.unit.value


def _state(finding: Finding) -> State:
    if finding.present is None:
        measured = finding.value is not None and finding.threshold is None
        return State.VALUE if measured else State.UNDETERMINED
    return State.PRESENT if finding.present else State.ABSENT


def _row(finding: Finding) -> Row:
    is_share = finding.value is None
    return Row(
        title=name_finding(finding),
        state=_state(finding),
        number=say_number(finding),
        share=shown_probability(finding) if is_share else None,
        mark=finding.threshold if is_share else None,
    )


def _headline(prediction: Prediction, rows: Sequence[Row]) -> tuple[str, State | None]:
    """Say the result in a line; its state comes first, where nothing is cut off."""
    if prediction.outcome is Outcome.FAILED:
        return "No result: the analysis failed", None
    if prediction.outcome is Outcome.NOT_EVALUATED or not rows:
        return "Not evaluated", None
    first = rows[0]
    alike = sum(row.state is first.state for row in rows)
    if len(rows) == 1 or (first.state is State.PRESENT and alike == 1):
        return f"{first.state.value}: {first.title}", first.state
    if first.state is State.PRESENT:
        return f"{first.state.value}: {first.title} and {alike - 1} more", first.state
    if first.state is State.ABSENT:
        return f"{first.state.value}: all {len(rows)} findings", first.state
    if first.state is State.VALUE:
        return f"{first.title}: {first.number}", first.state
    return f"{first.state.value}: no decision", first.state


def _notes(
    prediction: Prediction, evidence: Evidence, *, is_update: bool
) -> Iterator[str]:
    if prediction.outcome in (Outcome.FAILED, Outcome.NOT_EVALUATED):
        yield prediction.reason or "No reason was recorded."
    if is_update:
        yield "Replaces the earlier summary of this study."
    evaluated, considered = len(prediction.evaluated), len(prediction.images)
    if evaluated:
        images = "image" if considered == 1 else "images"
        yield f"Evaluated: {evaluated} of {considered} {images}."
        for missing in left_out(prediction, evidence):
            yield missing.counted


def _about(prediction: Prediction, finished: datetime) -> Iterator[str]:
    yield f"{prediction.model} {prediction.model_version}"
    if prediction.manufacturer:
        yield prediction.manufacturer
    zone = finished.strftime("%z")
    yield f"{finished:%Y-%m-%d %H:%M} (UTC{zone[:3]}:{zone[3:5]})"
