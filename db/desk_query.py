"""Which studies a list shows, and in which order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from db.tables import instances, jobs, reports, studies
from db.urgency import NO_RANK, RANKS, ranks
from db.why import without_result
from dicom_node.core.ids import StudyId
from dicom_node.core.states import StudyState, Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyQuery:
    """Which studies are wanted.

    Args:
        accession: "" for any.
        part: the Accession Number only contains that, in either case of letters.
        uid: a whole UID of the study, of an instance or of a report; "" for any.
        study_ids: only these; None for any.
        urgency: that of the most urgent suggestion that holds.
        suggested: only studies with a suggestion that holds.
        without_result: only studies that lack a model's result, for whatever reason.
        received_after: the last instance came after that.
        by_priority: the most urgent first and then who has waited longest; else the
            latest first.
    """

    accession: str = ""
    part: bool = False
    uid: str = ""
    study_ids: Collection[StudyId] | None = None
    state: StudyState | None = None
    urgency: Urgency | None = None
    suggested: bool = False
    without_result: bool = False
    received_after: datetime | None = None
    by_priority: bool = False
    limit: int = 50
    offset: int = 0


def select_studies(query: StudyQuery, now: datetime) -> "Select[int]":
    """Return the query for one study more than are wanted, in their order."""
    ranked = ranks(now)
    rank = func.coalesce(ranked.c.rank, NO_RANK)
    chosen = select(studies.c.id).outerjoin(ranked, ranked.c.study_id == studies.c.id)
    if query.accession and query.part:
        chosen = chosen.where(
            studies.c.accession_number.icontains(query.accession, autoescape=True)
        )
    elif query.accession:
        chosen = chosen.where(studies.c.accession_number == query.accession)
    if query.uid:
        chosen = chosen.where(_has_uid(query.uid))
    if query.study_ids is not None:
        chosen = chosen.where(studies.c.id.in_(query.study_ids))
    if query.state is not None:
        chosen = chosen.where(studies.c.state == query.state)
    if query.urgency is not None:
        chosen = chosen.where(ranked.c.rank == RANKS[query.urgency])
    if query.suggested:
        chosen = chosen.where(ranked.c.rank.is_not(None))
    if query.without_result:
        chosen = chosen.where(without_result())
    if query.received_after is not None:
        chosen = chosen.where(studies.c.last_instance_at > query.received_after)
    order: Sequence[Any] = (studies.c.id.desc(),)
    if query.by_priority:
        order = (rank, studies.c.last_instance_at, studies.c.id)
    return chosen.order_by(*order).limit(query.limit + 1).offset(query.offset)


def _has_uid(uid: str) -> ColumnElement[bool]:
    received = select(instances.c.study_id).where(instances.c.sop_instance_uid == uid)
    written = (
        select(jobs.c.study_id)
        .join(reports, reports.c.job_id == jobs.c.id)
        .where(reports.c.sop_instance_uid == uid)
    )
    return or_(
        studies.c.study_instance_uid == uid,
        studies.c.id.in_(received),
        studies.c.id.in_(written),
    )
