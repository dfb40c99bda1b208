"""What the node suggests to the reading list at present."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, or_, select

from db.desk_tables import suggestions
from db.engine import Database
from db.holding import concluded, left_out
from db.tables import jobs
from dicom_node.core.ids import JobId, StudyId
from dicom_node.core.states import Urgency
from dicom_node.core.types import Suggestion

_MOST_URGENT_FIRST: Final = tuple(Urgency)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentSuggestion:
    """What one model's latest result suggests for a study."""

    study_id: StudyId
    job_id: JobId
    revision: int
    suggestion: Suggestion
    model: str
    model_version: str
    created_at: datetime


def by_model(
    database: Database, study_ids: Collection[StudyId], *, now: datetime
) -> tuple[CurrentSuggestion, ...]:
    """Return what each model suggests at present, the most urgent first.

    The latest result of a model alone counts: what an earlier revision suggested is
    withdrawn by a later one that suggests nothing, or that leaves the model out.
    """
    latest = (
        select(
            jobs.c.study_id,
            jobs.c.model,
            func.max(jobs.c.revision).label("revision"),
        )
        .where(jobs.c.study_id.in_(study_ids), concluded())
        .group_by(jobs.c.study_id, jobs.c.model)
        .subquery()
    )
    query = (
        select(suggestions, jobs.c.revision)
        .join(jobs, suggestions.c.job_id == jobs.c.id)
        .join(
            latest,
            (latest.c.study_id == jobs.c.study_id)
            & (latest.c.model == jobs.c.model)
            & (latest.c.revision == jobs.c.revision),
        )
        .where(
            suggestions.c.withdrawn_at.is_(None),
            or_(suggestions.c.expires_at.is_(None), suggestions.c.expires_at > now),
            ~left_out(),
        )
        .order_by(suggestions.c.id)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    found = [
        CurrentSuggestion(
            study_id=StudyId(row.study_id),
            job_id=JobId(row.job_id),
            revision=row.revision,
            suggestion=Suggestion(
                urgency=Urgency(row.priority),
                reason=row.reason,
                expires_at=row.expires_at,
            ),
            model=row.model,
            model_version=row.model_version,
            created_at=row.created_at,
        )
        for row in rows
    ]
    found.sort(key=lambda one: _MOST_URGENT_FIRST.index(one.suggestion.urgency))
    return tuple(found)


def current(
    database: Database, study_ids: Collection[StudyId], *, now: datetime
) -> dict[StudyId, CurrentSuggestion]:
    """Return each study's suggestion: the most urgent over its models."""
    chosen: dict[StudyId, CurrentSuggestion] = {}
    for one in by_model(database, study_ids, now=now):
        chosen.setdefault(one.study_id, one)
    return chosen
