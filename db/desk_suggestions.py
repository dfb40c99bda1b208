"""What was suggested for a study, and what of it holds."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, select

from db.columns import AnyRow
from db.desk_tables import suggestions
from db.summary import StudyIds
from db.tables import jobs
from db.urgency import RANKS, current_suggestions
from dicom_node.core.states import Urgency


class Standing(StrEnum):
    """What became of a suggestion."""

    HOLDS = "holds"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"  # by a result or a routing of a later revision


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionLine:
    """How urgently a model suggests to read a study, and why."""

    urgency: Urgency
    reason: str
    model: str
    model_version: str
    revision: int
    created_at: datetime
    expires_at: datetime | None
    standing: Standing = Standing.HOLDS


def holding_suggestions(
    connection: Connection, chosen: StudyIds, now: datetime
) -> dict[int, list[SuggestionLine]]:
    """Return each study's suggestions that hold, the most urgent first."""
    held = current_suggestions(now).add_columns(jobs.c.revision)
    held = held.where(jobs.c.study_id.in_(chosen)).order_by(suggestions.c.id)
    lists: dict[int, list[SuggestionLine]] = defaultdict(list)
    for row in connection.execute(held):
        lists[row.study_id].append(_line(row, Standing.HOLDS))
    for items in lists.values():
        items.sort(key=lambda item: RANKS[item.urgency])
    return lists


def all_suggestions(
    connection: Connection, study_id: int, now: datetime
) -> tuple[SuggestionLine, ...]:
    """Return everything that was suggested for a study, the first first."""
    held = current_suggestions(now).where(jobs.c.study_id == study_id)
    holds = {row.id for row in connection.execute(held)}
    query = _all().where(suggestions.c.study_id == study_id)
    return tuple(
        _line(row, Standing.HOLDS if row.id in holds else _standing(row, now))
        for row in connection.execute(query.order_by(suggestions.c.id))
    )


def _all() -> "Select[*tuple[Any, ...]]":
    return select(suggestions, jobs.c.revision).join(
        jobs, suggestions.c.job_id == jobs.c.id
    )


def _standing(row: AnyRow, now: datetime) -> Standing:
    """Say why a suggestion does not hold."""
    if row.withdrawn_at is not None:
        return Standing.WITHDRAWN
    if row.expires_at is not None and row.expires_at <= now:
        return Standing.EXPIRED
    return Standing.SUPERSEDED


def _line(row: AnyRow, standing: Standing) -> SuggestionLine:
    return SuggestionLine(
        urgency=Urgency(row.priority),
        reason=row.reason,
        model=row.model,
        model_version=row.model_version,
        revision=row.revision,
        created_at=row.created_at,
        expires_at=row.expires_at,
        standing=standing,
    )
