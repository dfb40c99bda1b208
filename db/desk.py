"""What the page and its API read: the list of studies, and one study."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Select, func, or_, select

from db.codec import decode_header
from db.desk_deliveries import DeliveryLine, deliveries_of
from db.desk_query import StudyQuery as StudyQuery
from db.desk_query import select_studies
from db.desk_suggestions import (
    SuggestionLine,
    all_suggestions,
    holding_suggestions,
)
from db.engine import Database
from db.holding import holding
from db.prunable import files_gone
from db.story import StudyStory
from db.summary import JobSummary, StudyIds, summarise_jobs
from db.tables import decisions, instances, studies, versions
from db.timeline import tell
from db.why import what_to_do, why_no_result, why_not_delivered
from dicom_node.core.ids import StudyId
from dicom_node.core.quiet import Arrivals
from dicom_node.core.states import StudyState, WorkState
from dicom_node.core.types import RoutingHeader

_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
# Such a data set is inflated whole, to a thousand times its size at worst.
_DEFLATED_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """A study in the list.

    Args:
        header: of its first instance that is no result of ours; None without one.
        suggestions: those that hold, the most urgent first.
        jobs: the latest of each model whose word holds (`db.holding`).
        why: why there is no result, in a sentence; "" if there is.
        undelivered: what does not leave any more, in a sentence; "" if nothing.
        what_to_do: about either; "" where nothing has to be done.
        deliveries: how many of the jobs' deliveries are in which state.
        pruned_at: when retention last removed its files.
        files_gone: and not all of them have come again since.
        arrivals: when its images came: what says when it is complete.
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
    files_gone: bool
    instances: int
    header: RoutingHeader | None
    suggestions: tuple[SuggestionLine, ...]
    jobs: tuple[JobSummary, ...]
    deliveries: Mapping[WorkState, int]
    why: str
    undelivered: str
    what_to_do: str
    arrivals: Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    """One study with its story and its deliveries, which can be sent again.

    Args:
        suggested: everything that was ever suggested for it, the first first.
    """

    line: StudyLine
    story: StudyStory
    deliveries: tuple[DeliveryLine, ...]
    suggested: tuple[SuggestionLine, ...]


def list_studies(
    database: Database, query: StudyQuery, *, now: datetime
) -> tuple[tuple[StudyLine, ...], bool]:
    """Return the studies in order, and whether there are more after them."""
    with database.read() as connection:
        found = connection.execute(select_studies(query, now)).scalars().all()
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
            suggested=all_suggestions(connection, study_id, now),
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


def _lines(
    connection: Connection, ids: Sequence[int], now: datetime
) -> tuple[StudyLine, ...]:
    """Return the studies with these ids, in their order."""
    if not ids:
        return ()
    chosen: StudyIds = select(studies.c.id).where(studies.c.id.in_(ids))
    counted = _counts(connection, chosen)
    headers = _headers(connection, chosen)
    suggested = holding_suggestions(connection, chosen, now)
    ran = summarise_jobs(connection, chosen)
    decided = _decided(connection, chosen)
    held = {
        key: holding([job for _, job in pairs], decided[key])
        for key, pairs in ran.items()
    }
    rows = connection.execute(
        select(studies, files_gone().label("files_gone")).where(studies.c.id.in_(ids))
    )
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
            files_gone=bool(row.files_gone),
            instances=counted.get(row.id, 0),
            header=headers.get(row.id),
            suggestions=tuple(suggested[row.id]),
            jobs=tuple({job["model"]: job for job in held.get(row.id, ())}.values()),
            deliveries=Counter(
                WorkState(item["state"])
                for _, job in ran[row.id]
                for item in job["deliveries"]
            ),
            why=why_no_result(
                StudyState(row.state),
                row.ignored_because,
                held.get(row.id, ()),
            ),
            undelivered=why_not_delivered(held.get(row.id, ())),
            what_to_do=what_to_do(
                StudyState(row.state), row.ignored_because, held.get(row.id, ())
            ),
            arrivals=Arrivals(
                last_instance_at=row.last_instance_at,
                revision_started_at=row.revision_started_at,
                called_ae_title=row.called_ae_title,
            ),
        )
        for row in rows
    }
    return tuple(lines[study_id] for study_id in ids)


def _decided(connection: Connection, chosen: StudyIds) -> dict[int, list[int]]:
    """Return the revisions of each study that were routed."""
    query = select(decisions.c.study_id, decisions.c.revision)
    found: dict[int, list[int]] = defaultdict(list)
    for row in connection.execute(query.where(decisions.c.study_id.in_(chosen))):
        found[row.study_id].append(row.revision)
    return found


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
