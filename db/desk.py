"""What the page and its API read: the list of studies, and one study."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from db.codec import decode_header
from db.columns import AnyRow
from db.desk_deliveries import DeliveryLine, deliveries_of
from db.engine import Database
from db.story import StudyStory
from db.summary import JobSummary, StudyIds, summarise_jobs
from db.tables import instances, jobs, reports, studies, versions
from db.timeline import tell
from db.urgency import NO_RANK, RANKS, current_suggestions, ranks
from db.why import why_no_result, without_result
from dicom_node.core.ids import StudyId
from dicom_node.core.states import StudyState, Urgency, WorkState
from dicom_node.core.types import RoutingHeader

_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
# Such a data set is inflated whole, to a thousand times its size at worst.
_DEFLATED_BYTES_MAX: Final = 1 << 20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionLine:
    """How urgently a model suggests to read a study, and why."""

    urgency: Urgency
    reason: str
    model: str
    model_version: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """A study in the list.

    Args:
        header: of its first instance that is no result of ours; None without one.
        suggestions: those that hold, the most urgent first.
        jobs: the latest of each model.
        why: why there is no result, in a sentence; "" if there is.
        deliveries: how many of the jobs' deliveries are in which state.
        pruned_at: since when its files are gone.
    """

    study_id: StudyId
    study_instance_uid: str
    accession_number: str
    state: StudyState
    revision: int
    ignored_because: str | None
    first_instance_at: datetime
    last_instance_at: datetime
    pruned_at: datetime | None
    instances: int
    header: RoutingHeader | None
    suggestions: tuple[SuggestionLine, ...]
    jobs: tuple[JobSummary, ...]
    deliveries: Mapping[WorkState, int]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    """One study with its story and its deliveries, which can be sent again."""

    line: StudyLine
    story: StudyStory
    deliveries: tuple[DeliveryLine, ...]


def list_studies(
    database: Database, query: StudyQuery, *, now: datetime
) -> tuple[tuple[StudyLine, ...], bool]:
    """Return the studies in order, and whether there are more after them."""
    with database.read() as connection:
        found = connection.execute(_select(query, now)).scalars().all()
        ids = found[: query.limit]
        lines = _lines(connection, ids, now)
    return lines, len(found) > query.limit


def study_page(
    database: Database, study_instance_uid: str, *, now: datetime
) -> StudyPage | None:
    """Return one study, None if none with this UID was received."""
    query = select(studies.c.id).where(
        studies.c.study_instance_uid == study_instance_uid
    )
    with database.read() as connection:
        study_id = connection.execute(query).scalar_one_or_none()
        if study_id is None:
            return None
        [line] = _lines(connection, [study_id], now)
        return StudyPage(
            line=line,
            story=tell(connection, study_id),
            deliveries=deliveries_of(connection, study_id),
        )


def first_files(
    database: Database, study_ids: Collection[StudyId]
) -> dict[StudyId, str]:
    """Return for each study the key of a file whose data set is small to read."""
    chosen: StudyIds = select(studies.c.id).where(studies.c.id.in_(study_ids))
    small = or_(
        versions.c.transfer_syntax_uid != _DEFLATED,
        versions.c.size_bytes <= _DEFLATED_BYTES_MAX,
    )
    query = (
        select(instances.c.study_id, versions.c.file_key)
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(versions.c.id.in_(_first_versions(chosen).where(small)))
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return {StudyId(row.study_id): row.file_key for row in rows}


def _select(query: StudyQuery, now: datetime) -> "Select[int]":
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


def _lines(
    connection: Connection, ids: Sequence[int], now: datetime
) -> tuple[StudyLine, ...]:
    """Return the studies with these ids, in their order."""
    if not ids:
        return ()
    chosen: StudyIds = select(studies.c.id).where(studies.c.id.in_(ids))
    counted = _counts(connection, chosen)
    headers = _headers(connection, chosen)
    suggested = _suggestions(connection, chosen, now)
    ran = summarise_jobs(connection, chosen)
    rows = connection.execute(select(studies).where(studies.c.id.in_(ids)))
    lines = {
        row.id: StudyLine(
            study_id=StudyId(row.id),
            study_instance_uid=row.study_instance_uid,
            accession_number=row.accession_number,
            state=StudyState(row.state),
            revision=row.revision,
            ignored_because=row.ignored_because,
            first_instance_at=row.first_instance_at,
            last_instance_at=row.last_instance_at,
            pruned_at=row.pruned_at,
            instances=counted.get(row.id, 0),
            header=headers.get(row.id),
            suggestions=tuple(suggested[row.id]),
            jobs=tuple({job["model"]: job for _, job in ran[row.id]}.values()),
            deliveries=Counter(
                WorkState(item["state"])
                for _, job in ran[row.id]
                for item in job["deliveries"]
            ),
            why=why_no_result(
                StudyState(row.state),
                row.ignored_because,
                [job for _, job in ran[row.id]],
            ),
        )
        for row in rows
    }
    return tuple(lines[study_id] for study_id in ids)


def _counts(connection: Connection, chosen: StudyIds) -> dict[int, int]:
    query = (
        select(instances.c.study_id, func.count())
        .where(instances.c.study_id.in_(chosen), ~instances.c.own_result)
        .group_by(instances.c.study_id)
    )
    return {study_id: count for study_id, count in connection.execute(query)}


def _headers(connection: Connection, chosen: StudyIds) -> dict[int, RoutingHeader]:
    query = (
        select(instances.c.study_id, versions.c.header)
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(versions.c.id.in_(_first_versions(chosen)))
    )
    return {
        row.study_id: decode_header(row.header) for row in connection.execute(query)
    }


def _first_versions(chosen: StudyIds) -> "Select[int]":
    return (
        select(func.min(versions.c.id))
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(
            instances.c.study_id.in_(chosen),
            ~instances.c.own_result,
            versions.c.current,
        )
        .group_by(instances.c.study_id)
    )


def _suggestions(
    connection: Connection, chosen: StudyIds, now: datetime
) -> dict[int, list[SuggestionLine]]:
    held = current_suggestions(now).subquery()
    query = select(held).where(held.c.study_id.in_(chosen)).order_by(held.c.id)
    lists: dict[int, list[SuggestionLine]] = defaultdict(list)
    for row in connection.execute(query):
        lists[row.study_id].append(_suggestion(row))
    for items in lists.values():
        items.sort(key=lambda item: RANKS[item.urgency])
    return lists


def _suggestion(row: AnyRow) -> SuggestionLine:
    return SuggestionLine(
        urgency=Urgency(row.priority),
        reason=row.reason,
        model=row.model,
        model_version=row.model_version,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
