"""Which instances were refused, and why: the latest of them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)

from db.columns import AnyRow
from db.desk_tables import refusals
from db.engine import Database
from db.tables import instances, studies, versions
from dicom_node.core.refusal import (
    SHORTER_THAN_RECEIVED,
    RefusedInstance,
    remedy_of,
)
from dicom_node.core.types import TimelineEvent

# Whoever sends rubbish for days must not fill the disk: the oldest rows go.
KEPT: Final = 20_000
REFUSED: Final = "refused"  # of the events of a study
_TOLD: Final = 200  # of one study


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalQuery:
    """Which refusals are wanted, the latest first; what is "" narrows nothing down.

    Args:
        key: a whole Study or SOP Instance UID, or Accession Number.
    """

    calling_ae_title: str = ""
    key: str = ""
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalLine:
    """A refused instance.

    Args:
        here: an instance with its SOP Instance UID is here, from before or since.
    """

    instance: RefusedInstance
    here: bool


def record(
    database: Database, refused: Sequence[RefusedInstance], *, durable: bool = True
) -> None:
    """Keep refused instances; beyond `KEPT` the oldest are forgotten.

    Args:
        durable: False leaves the sync to the operating system.
    """
    if not refused:
        return
    latest = select(func.max(refusals.c.id)).scalar_subquery()
    with database.write(durable=durable) as connection:
        connection.execute(insert(refusals), [asdict(item) for item in refused])
        connection.execute(delete(refusals).where(refusals.c.id <= latest - KEPT))


def complete(database: Database, found: RefusedInstance, key: str) -> RefusedInstance:
    """Add to a file in quarantine what its row says; unchanged where it has none.

    Args:
        key: of the file.
    """
    query = (
        select(
            versions.c.calling_ae_title,
            versions.c.peer_address,
            versions.c.sop_class_uid,
            versions.c.transfer_syntax_uid,
            instances.c.sop_instance_uid,
            studies.c.study_instance_uid,
            studies.c.accession_number,
        )
        .join(instances, versions.c.instance_id == instances.c.id)
        .join(studies, instances.c.study_id == studies.c.id)
        .where(versions.c.file_key == key)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        return found
    return replace(
        found,
        calling_ae_title=row.calling_ae_title,
        peer_address=row.peer_address,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        sop_instance_uid=row.sop_instance_uid,
        study_instance_uid=row.study_instance_uid,
        accession_number=row.accession_number,
    )


def list_refusals(
    database: Database, query: RefusalQuery
) -> tuple[tuple[RefusalLine, ...], bool]:
    """Return the refusals, and whether there are more after them."""
    chosen = _select().order_by(refusals.c.id.desc())
    if query.calling_ae_title:
        chosen = chosen.where(refusals.c.calling_ae_title == query.calling_ae_title)
    if query.key:
        chosen = chosen.where(_has_key(query.key))
    chosen = chosen.limit(query.limit + 1).offset(query.offset)
    with database.read() as connection:
        rows = connection.execute(chosen).all()
    return tuple(_line(row) for row in rows[: query.limit]), len(rows) > query.limit


def refusals_of(
    database: Database, study_instance_uid: str, *, limit: int = _TOLD
) -> tuple[RefusalLine, ...]:
    """Return the refused instances of a study, the latest first."""
    with database.read() as connection:
        return _of_study(connection, study_instance_uid, limit)


def refusal_events(
    connection: Connection, study_instance_uid: str
) -> Iterator[TimelineEvent]:
    """Yield an event for what was refused of a study for one reason in a second."""
    told = reversed(_of_study(connection, study_instance_uid, _TOLD))
    for (_, calling, reason, status), members in groupby(told, key=_together):
        group = list(members)
        yield TimelineEvent(
            at=group[0].instance.at,
            what=REFUSED,
            detail={
                "calling_ae_title": calling,
                "instances": len(group),
                "reason": reason,
                "status": f"0x{status:04X}",
                "what_to_do": remedy_of(status, reason),
            },
        )


def _together(line: RefusalLine) -> tuple[datetime, str, str, int]:
    one = line.instance
    second = one.at.replace(microsecond=0)
    return second, one.calling_ae_title, one.reason, one.status


def _of_study(
    connection: Connection, study_instance_uid: str, limit: int
) -> tuple[RefusalLine, ...]:
    chosen = (
        _select()
        .where(refusals.c.study_instance_uid == study_instance_uid)
        .order_by(refusals.c.id.desc())
        .limit(limit)
    )
    return tuple(_line(row) for row in connection.execute(chosen))


def count_refusals(database: Database, key: str) -> int:
    """Return how many refusals a UID or an Accession Number finds."""
    query = select(func.count()).select_from(refusals).where(_has_key(key))
    with database.read() as connection:
        return int(connection.execute(query).scalar_one()) if key else 0


def callers(database: Database) -> tuple[str, ...]:
    """Return the AE titles of which something was refused."""
    query = select(refusals.c.calling_ae_title).distinct()
    query = query.order_by(refusals.c.calling_ae_title)
    with database.read() as connection:
        return tuple(connection.execute(query).scalars())


def _has_key(key: str) -> Any:
    return or_(
        refusals.c.study_instance_uid == key,
        refusals.c.sop_instance_uid == key,
        refusals.c.accession_number == key,
    )


def _select() -> "Select[*tuple[Any, ...]]":
    same = instances.c.sop_instance_uid == refusals.c.sop_instance_uid
    # What lost its file kept its row: it is here once it has come again.
    again = exists().where(
        same,
        versions.c.instance_id == instances.c.id,
        versions.c.repeated_at >= refusals.c.at,
    )
    lost = refusals.c.reason == SHORTER_THAN_RECEIVED
    here = case((lost, again), else_=exists().where(same))
    return select(refusals, here.label("here"))


def _line(row: AnyRow) -> RefusalLine:
    return RefusalLine(
        instance=RefusedInstance(
            at=row.at,
            calling_ae_title=row.calling_ae_title,
            called_ae_title=row.called_ae_title,
            peer_address=row.peer_address,
            sop_class_uid=row.sop_class_uid,
            transfer_syntax_uid=row.transfer_syntax_uid,
            sop_instance_uid=row.sop_instance_uid,
            study_instance_uid=row.study_instance_uid,
            accession_number=row.accession_number,
            status=row.status,
            reason=row.reason,
            size_bytes=row.size_bytes,
        ),
        here=bool(row.here),
    )
