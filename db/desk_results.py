"""What each model says of a study at present: for whoever reads results."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, exists, or_, select

from db.codec import decode_prediction
from db.columns import AnyRow
from db.desk_tables import suggestions
from db.engine import Database
from db.holding import (
    concluded,
    concluded_at,
    left_out,
    left_out_at,
    left_out_in,
)
from db.tables import decisions, instances, jobs, predictions, studies, versions
from dicom_node.core.ids import JobId, SOPInstanceUID, StudyId, StudyInstanceUID
from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import Prediction, Suggestion
from dicom_node.core.work import WITHDRAWAL

_WITHOUT_RESULT: Final = (Outcome.NOT_EVALUATED, Outcome.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultQuery:
    """Which studies with results are wanted, the latest first.

    Args:
        keys: Study Instance UIDs or Accession Numbers; None for any.
        since, until: when a result of the study was known, or a routing may have
            left its model out.
        before: only studies with a lower id; None for any.
    """

    keys: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: StudyId | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentResult:
    """The latest result of one model for a study.

    Args:
        suggestion: what was suggested with it.
        concluded_at: when the job ended; while it writes pictures, its last report.
        holds: whether the suggestion does: it was not withdrawn, is not expired, and
            the result not left out.
        left_out: a later routing did not want the model, or its job was given up: this
            is history.
        left_out_at, left_out_in: when, and the study's revision; None where only its
            withdrawal is known.
        earlier: the results of earlier revisions, the oldest first.
    """

    study_id: StudyId
    study_instance_uid: StudyInstanceUID
    accession_number: str
    job_id: JobId
    revision: int
    model: str
    prediction: Prediction
    concluded_at: datetime
    suggestion: Suggestion | None = None
    holds: bool = False
    left_out: bool = False
    left_out_at: datetime | None = None
    left_out_in: int | None = None
    earlier: tuple[Prediction, ...] = ()


def studies_with_results(database: Database, query: ResultQuery) -> tuple[StudyId, ...]:
    """Return the studies, those with the highest id first."""
    known = [jobs.c.study_id == studies.c.id, concluded()]
    decided = [decisions.c.study_id == studies.c.id, exists().where(*known)]
    told = or_(
        exists().where(*known, *_within(concluded_at(), query)),
        exists().where(*decided, *_within(decisions.c.decided_at, query)),
    )
    wanted: list[ColumnElement[bool]] = [told]
    if query.keys is not None:
        keys = [key for key in query.keys if key]
        wanted.append(
            or_(
                studies.c.study_instance_uid.in_(keys),
                studies.c.accession_number.in_(keys),
            )
        )
    if query.before is not None:
        wanted.append(studies.c.id < query.before)
    chosen = (
        select(studies.c.id)
        .where(*wanted)
        .order_by(studies.c.id.desc())
        .limit(query.limit)
    )
    with database.read() as connection:
        return tuple(StudyId(key) for key in connection.execute(chosen).scalars())


def _within(
    at: ColumnElement[datetime], query: ResultQuery
) -> list[ColumnElement[bool]]:
    """Return what holds of a moment that the query asks for."""
    since = [] if query.since is None else [at >= query.since]
    until = [] if query.until is None else [at <= query.until]
    return [*since, *until]


def results_of(
    database: Database, study_ids: Collection[StudyId], *, now: datetime
) -> dict[StudyId, tuple[CurrentResult, ...]]:
    """Return the latest result of each model; a job that was given up has none."""
    query = (
        select(
            jobs,
            studies.c.study_instance_uid,
            studies.c.accession_number,
            predictions.c.document,
            predictions.c.outcome,
            suggestions.c.priority.label("suggested"),
            suggestions.c.reason.label("suggested_because"),
            suggestions.c.expires_at,
            suggestions.c.withdrawn_at,
            concluded_at().label("concluded_at"),
            left_out().label("left_out"),
            left_out_at().label("left_out_at"),
            left_out_in().label("left_out_in"),
        )
        .join(studies, studies.c.id == jobs.c.study_id)
        .outerjoin(predictions, predictions.c.job_id == jobs.c.id)
        .outerjoin(suggestions, suggestions.c.job_id == jobs.c.id)
        .where(jobs.c.study_id.in_(study_ids), concluded())
        .where(concluded_at().is_not(None))
        .order_by(jobs.c.revision, predictions.c.claim)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    of_model: dict[tuple[int, str], list[AnyRow]] = defaultdict(list)
    for row in rows:
        of_model[row.study_id, row.model].append(row)
    chosen = [_current(told, now) for told in of_model.values()]
    found: dict[StudyId, list[CurrentResult]] = defaultdict(list)
    for result in sorted(filter(None, chosen), key=lambda one: one.job_id):
        found[result.study_id].append(result)
    return {study_id: tuple(results) for study_id, results in found.items()}


def _current(rows: Sequence[AnyRow], now: datetime) -> CurrentResult | None:
    """Return what holds of a model's jobs, the oldest first; None if none told any."""
    # What is taken back says more than the withdrawal that does it.
    jobs_of_routes = [row for row in rows if row.route != WITHDRAWAL]
    told = [row for row in jobs_of_routes or rows if row.document is not None]
    if not told:
        return None
    result = replace(_result(told[-1], now), earlier=_results(rows, told[-1]))
    latest = (jobs_of_routes or rows)[-1]
    if result.left_out or latest.revision == result.revision:
        return result
    return replace(
        result,
        holds=False,
        left_out=True,
        left_out_at=latest.concluded_at,
        left_out_in=latest.revision,
    )


def _results(rows: Sequence[AnyRow], until: AnyRow) -> tuple[Prediction, ...]:
    """Return the results of earlier revisions."""
    return tuple(
        decode_prediction(row.document)
        for row in rows
        if row.revision < until.revision and row.outcome not in (None, *_WITHOUT_RESULT)
    )


def file_of(database: Database, sop_instance_uid: SOPInstanceUID) -> str | None:
    """Return the key of an instance's file, None if there is none."""
    query = (
        select(versions.c.file_key)
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(instances.c.sop_instance_uid == sop_instance_uid, versions.c.current)
    )
    with database.read() as connection:
        found = connection.execute(query).scalar_one_or_none()
    return None if found is None else str(found)


def _result(row: AnyRow, now: datetime) -> CurrentResult:
    suggestion = None
    if row.suggested is not None:
        suggestion = Suggestion(
            urgency=Urgency(row.suggested),
            reason=row.suggested_because,
            expires_at=row.expires_at,
        )
    expired = row.expires_at is not None and row.expires_at <= now
    over = expired or row.withdrawn_at is not None or bool(row.left_out)
    return CurrentResult(
        study_id=StudyId(row.study_id),
        study_instance_uid=StudyInstanceUID(row.study_instance_uid),
        accession_number=row.accession_number,
        job_id=JobId(row.id),
        revision=row.revision,
        model=row.model,
        prediction=decode_prediction(row.document),
        concluded_at=row.concluded_at,
        suggestion=suggestion,
        holds=suggestion is not None and not over,
        left_out=bool(row.left_out),
        left_out_at=row.left_out_at,
        left_out_in=row.left_out_in,
    )
