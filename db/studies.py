"""Studies: when they are quiet, what they hold, what routing decided."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from db.codec import decode_header, encode_verdict
from db.columns import AnyRow, UTCDateTime
from db.engine import Database
from db.queueing import cancel_older, queue_jobs, queue_withdrawals
from db.tables import STUDY_OPEN, decisions, instances, studies, versions
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.ids import (
    InstanceId,
    JobId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyId,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from dicom_node.core.states import StudyState
from dicom_node.core.types import Instance, RoutingDecision, Study


def quiet(
    database: Database,
    *,
    now: datetime,
    quiet_seconds: float,
    limit_seconds: float,
    called: Mapping[str, float] | None = None,
) -> tuple[StudyId, ...]:
    """Return the RECEIVING studies that are complete, the longest quiet first.

    Complete means no new instance for `quiet_seconds`, or a revision that has
    been open for `limit_seconds`.

    Args:
        called: quiet seconds of the called AE titles that have their own; that of
            a study is the one its last instance was sent to.
    """
    quiet_since = _quiet_since(now, quiet_seconds, called or {})
    query = (
        select(studies.c.id)
        .where(
            STUDY_OPEN,
            or_(
                studies.c.last_instance_at <= quiet_since,
                studies.c.revision_started_at <= now - timedelta(seconds=limit_seconds),
            ),
        )
        .order_by(studies.c.last_instance_at, studies.c.id)
    )
    with database.read() as connection:
        return tuple(StudyId(key) for key in connection.execute(query).scalars())


def next_quiet_at(
    database: Database,
    *,
    quiet_seconds: float,
    limit_seconds: float,
    called: Mapping[str, float] | None = None,
) -> datetime | None:
    """Return when the next RECEIVING study will be complete if nothing more comes."""
    own = {title.strip(): seconds for title, seconds in (called or {}).items()}
    query = select(
        studies.c.last_instance_at,
        studies.c.revision_started_at,
        studies.c.called_ae_title,
    ).where(STUDY_OPEN)
    with database.read() as connection:
        rows = connection.execute(query).all()
    moments = (
        min(
            row.last_instance_at
            + timedelta(seconds=own.get(row.called_ae_title.strip(), quiet_seconds)),
            row.revision_started_at + timedelta(seconds=limit_seconds),
        )
        for row in rows
    )
    return min(moments, default=None)


def _quiet_since(
    now: datetime, quiet_seconds: float, called: Mapping[str, float]
) -> ColumnElement[datetime]:
    """Return the moment after which no instance of a quiet study came."""

    def ago(seconds: float) -> ColumnElement[datetime]:
        return literal(now - timedelta(seconds=seconds), UTCDateTime())

    if not called:
        return ago(quiet_seconds)
    own = {title.strip(): ago(seconds) for title, seconds in called.items()}
    title = func.trim(studies.c.called_ae_title)
    return case(own, value=title, else_=ago(quiet_seconds))


def identify(database: Database, key: str) -> tuple[StudyId, ...]:
    """Return the studies with this Study Instance UID or Accession Number."""
    query = (
        select(studies.c.id)
        .where(
            or_(
                studies.c.study_instance_uid == key,
                studies.c.accession_number == key,
            )
        )
        .order_by(studies.c.id)
    )
    if not key:  # every study without an accession number would match
        return ()
    with database.read() as connection:
        return tuple(StudyId(item) for item in connection.execute(query).scalars())


def load(
    database: Database, study_id: StudyId, *, revision: int | None = None
) -> Study:
    """Return a study as it was at a revision, by default its latest.

    Instances are in the order of Series Number, Instance Number and UID, however
    they arrived; a conflict is not among them.

    Raises:
        DatabaseError: there is no such study.
    """
    with database.read() as connection:
        row = connection.execute(
            select(studies).where(studies.c.id == study_id)
        ).first()
        if row is None:
            raise DatabaseError("there is no study with this id")
        upto = row.revision if revision is None else revision
        found = _current_instances(connection, study_id, upto=upto)
    return Study(
        study_id=StudyId(row.id),
        study_instance_uid=StudyInstanceUID(row.study_instance_uid),
        accession_number=row.accession_number,
        state=StudyState(row.state),
        revision=upto,
        first_instance_at=row.first_instance_at,
        last_instance_at=row.last_instance_at,
        ignored_because=row.ignored_because,
        instances=found,
        called_ae_title=row.called_ae_title,
        pruned_at=row.pruned_at,
    )


def _current_instances(
    connection: Connection, study_id: StudyId, *, upto: int
) -> tuple[Instance, ...]:
    query = (
        select(
            versions,
            instances.c.sop_instance_uid,
            instances.c.revision,
            instances.c.own_result,
        )
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(
            instances.c.study_id == study_id,
            instances.c.revision <= upto,
            versions.c.current,
        )
    )
    found = (_instance(row) for row in connection.execute(query))
    return tuple(sorted(found, key=_order))


def _instance(row: AnyRow) -> Instance:
    return Instance(
        instance_id=InstanceId(row.instance_id),
        sop_class_uid=SOPClassUID(row.sop_class_uid),
        sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
        series_instance_uid=SeriesInstanceUID(row.series_instance_uid),
        transfer_syntax_uid=TransferSyntaxUID(row.transfer_syntax_uid),
        calling_ae_title=row.calling_ae_title,
        received_at=row.received_at,
        revision=row.revision,
        file_key=row.file_key,
        size_bytes=row.size_bytes,
        dataset_digest=row.dataset_digest,
        own_result=row.own_result,
        header=decode_header(row.header),
        called_ae_title=row.called_ae_title,
    )


def _order(item: Instance) -> tuple[int, str, int, str]:
    return (
        item.header.series_number or 0,
        item.series_instance_uid,
        item.header.instance_number or 0,
        item.sop_instance_uid,
    )


def settle(
    database: Database, study: Study, decision: RoutingDecision, *, now: datetime
) -> tuple[JobId, ...]:
    """Make a complete study ROUTED or IGNORED and queue its jobs.

    Two routes with one model are one job for the destinations of both. Jobs of
    earlier revisions that have not begun are CANCELLED. What a model told that no
    route wants any more is taken back.

    Raises:
        LostRace: an instance slipped in, or another process settled the study.
    """
    state = StudyState.ROUTED if decision.routes else StudyState.IGNORED
    with database.write() as connection:
        done = connection.execute(
            update(studies)
            .where(
                studies.c.id == study.study_id,
                studies.c.state == StudyState.RECEIVING,
                studies.c.revision == study.revision,
                studies.c.last_instance_at == study.last_instance_at,
            )
            .values(state=state, ignored_because=decision.ignored_because)
        )
        if done.rowcount == 0 or not _is_whole(connection, study):
            raise LostRace("the study changed while it was being routed")
        connection.execute(
            insert(decisions).values(
                study_id=study.study_id,
                revision=study.revision,
                decided_at=now,
                state=state,
                ignored_because=decision.ignored_because,
                verdicts=[encode_verdict(item) for item in decision.verdicts],
            )
        )
        cancel_older(connection, study, now=now)
        queue_withdrawals(connection, study, decision.routes, now=now)
        return queue_jobs(connection, study, decision.routes, now=now)


def _is_whole(connection: Connection, study: Study) -> bool:
    """Say whether the study holds what was routed; two may share a receive time."""
    count = connection.execute(
        select(func.count())
        .select_from(instances)
        .where(instances.c.study_id == study.study_id, ~instances.c.own_result)
    ).scalar_one()
    return bool(count == len(study.evidence))


def reopen(database: Database, study_id: StudyId, *, now: datetime) -> int:
    """Make a settled study RECEIVING again at its next revision; return that.

    The quiet time is over already, so it is routed at once.

    Raises:
        LostRace: the study is RECEIVING, or there is none.
    """
    with database.write() as connection:
        revision = connection.execute(
            update(studies)
            .where(studies.c.id == study_id, studies.c.state != StudyState.RECEIVING)
            .values(
                state=StudyState.RECEIVING,
                revision=studies.c.revision + 1,
                revision_started_at=now,
                ignored_because=None,
            )
            .returning(studies.c.revision)
        ).scalar_one_or_none()
    if revision is None:
        raise LostRace("the study is still receiving, or there is none")
    return int(revision)
