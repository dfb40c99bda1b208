"""What was received: one row per SOP Instance UID, one version per set of bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from db import deadline
from db.columns import UID_LENGTH, AnyRow
from db.direct import Arrival, arrival
from db.engine import Database
from db.errors import Collision
from db.first import record_first
from db.tables import instances, reports, studies, versions
from db.versions import Answers, Known, judge, look_up, record_known
from dicom_node.core.errors import CannotUnderstand, ReceiveError
from dicom_node.core.ids import InstanceId, SOPInstanceUID, StudyInstanceUID
from dicom_node.core.protocols import Compare
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance, Recorded, StoredVersion

Outcome = Recorded | ReceiveError

_KEYS_AT_ONCE: Final = 10_000  # SQLite takes 32,766 parameters
_COLLISIONS: Final = 8  # each one means that another association got on


def record_all(
    database: Database,
    received: Sequence[ReceivedInstance],
    *,
    compare: Compare,
    durable: bool = True,
    own_manufacturer: str = "dicom-node",
) -> tuple[Outcome, ...]:
    """Enter instances and what they mean for their studies, in one transaction.

    First bytes make the study RECEIVING (a settled one gets its next revision);
    the same bytes change nothing; other bytes with the same pixels become
    current; other pixels, or another study, are kept beside as a conflict. A
    report of this node that comes back leaves its study alone. What was entered
    before under the same file key has the answer of that time.

    Args:
        durable: False leaves the sync to the operating system.
        own_manufacturer: an SR with this Manufacturer is this node's result.

    Returns:
        An answer to each, in their order; one with a bad UID is refused alone.

    Raises:
        DatabaseError: nothing was written, or the connection was lost while it was;
            within `busy_seconds`. The senders should retry later.
    """
    with deadline.Within(database.busy_seconds):
        if len(received) == 1:
            entered = _record_new(database, received[0], durable=durable)
            if entered is not None:
                return tuple(entered)
        refusals = [_refusal(item) for item in received]
        taken = [item for item, no in zip(received, refusals, strict=True) if not no]
        recorder = _Recorder(database, Answers(compare), durable, own_manufacturer)
        recorded = iter(recorder.record(taken, alone=len(received) == 1))
        return tuple([no if no else next(recorded) for no in refusals])


def _record_new(
    database: Database, item: ReceivedInstance, *, durable: bool
) -> list[Recorded] | None:
    """Enter one alone the shortest way; None if it has to go the complete one."""
    one = arrival(item) if _refusal(item) is None else None
    if one is None:
        return None
    try:
        return database.direct.enter((one,), durable=durable)
    except Collision:
        return None


def _refusal(received: ReceivedInstance) -> CannotUnderstand | None:
    for keyword, value in (
        ("SOPClassUID", received.sop_class_uid),
        ("SOPInstanceUID", received.sop_instance_uid),
        ("StudyInstanceUID", received.study_instance_uid),
        ("SeriesInstanceUID", received.series_instance_uid),
        ("TransferSyntaxUID", received.transfer_syntax_uid),
    ):
        if not 0 < len(value) <= UID_LENGTH or "\x00" in value:
            return CannotUnderstand(
                f"{keyword} is missing, longer than {UID_LENGTH} characters, "
                "or holds a NUL"
            )
    return None


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Enters a group, the shortest way if it can."""

    database: Database
    compare: Answers
    durable: bool
    own_manufacturer: str

    def record(
        self, taken: Sequence[ReceivedInstance], *, alone: bool
    ) -> list[Recorded]:
        """Enter the group; alone, one has tried the shortest way in vain."""
        if not taken:
            return []
        arrivals = [arrival(item) for item in taken]
        for _ in range(_COLLISIONS):
            try:
                return self._record_once(taken, arrivals, short=not alone)
            except Collision:
                continue
        return self._record_once(taken, arrivals, short=not alone)

    def _record_once(
        self,
        taken: Sequence[ReceivedInstance],
        arrivals: Sequence[Arrival | None],
        *,
        short: bool,
    ) -> list[Recorded]:
        fresh = _fresh(taken, arrivals, known={}) if short else {}
        if len(fresh) == len(taken):
            arrived = list(fresh.values())
            entered = self.database.direct.enter(arrived, durable=self.durable)
            if entered is not None:
                return entered
        self._compare_ahead(taken)
        with self.database.write(durable=self.durable) as connection:
            return self._complete(connection, taken, arrivals)

    def _compare_ahead(self, taken: Sequence[ReceivedInstance]) -> None:
        """Read files before the transaction, which would make others wait."""
        with self.database.read() as connection:
            known = look_up(connection, {item.sop_instance_uid for item in taken})
        with deadline.Paused():  # the disk may be slow, the database is not to blame
            for item in taken:
                if item.sop_instance_uid in known:
                    judge(item, known[item.sop_instance_uid], self.compare)

    def _complete(
        self,
        connection: Connection,
        taken: Sequence[ReceivedInstance],
        arrivals: Sequence[Arrival | None],
    ) -> list[Recorded]:
        """Enter what is new in one go, then everything else one by one."""
        _lock_studies(connection, taken)
        known = look_up(
            connection, {item.sop_instance_uid for item in taken}, lock=True
        )
        fresh = _fresh(taken, arrivals, known=known)
        entered = None
        if fresh:
            direct = self.database.direct
            entered = direct.enter_within(connection, list(fresh.values()))
        done = dict(zip(fresh, entered, strict=True)) if entered else {}
        changed = {taken[place].sop_instance_uid for place in done}
        for place, item in enumerate(taken):
            if place in done:
                continue
            uid = item.sop_instance_uid
            if uid in changed:
                known |= look_up(connection, {uid}, lock=True)
            done[place] = self._enter(connection, item, known.get(uid, ()))
            changed.add(uid)
        return [done[place] for place in range(len(taken))]

    def _enter(
        self, connection: Connection, item: ReceivedInstance, known: Sequence[AnyRow]
    ) -> Recorded:
        if known:
            return record_known(connection, item, known, compare=self.compare)
        return record_first(connection, item, own_manufacturer=self.own_manufacturer)


def _lock_studies(connection: Connection, taken: Sequence[ReceivedInstance]) -> None:
    """Lock studies before instances, in the order of their UIDs, as everybody does."""
    connection.execute(
        select(studies.c.id)
        .where(studies.c.study_instance_uid.in_({i.study_instance_uid for i in taken}))
        .order_by(studies.c.study_instance_uid)
        .with_for_update(key_share=True)
    )


def _fresh(
    taken: Sequence[ReceivedInstance],
    arrivals: Sequence[Arrival | None],
    *,
    known: Known,
) -> dict[int, Arrival]:
    """Return what is new, by its place in the group; of two with one UID the first."""
    seen = set(known)
    found: dict[int, Arrival] = {}
    for place, (item, one) in enumerate(zip(taken, arrivals, strict=True)):
        if one is not None and item.sop_instance_uid not in seen:
            found[place] = one
        seen.add(item.sop_instance_uid)
    return found


def find(database: Database, sop_instance_uid: str) -> tuple[StoredVersion, ...]:
    """Return every version of an instance, in the order of arrival."""
    query = (
        select(versions, instances.c.sop_instance_uid)
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(instances.c.sop_instance_uid == sop_instance_uid)
        .order_by(versions.c.id)
    )
    with database.read() as connection:
        return tuple(_version(row) for row in connection.execute(query))


def _version(row: AnyRow) -> StoredVersion:
    return StoredVersion(
        instance_id=InstanceId(row.instance_id),
        sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
        study_instance_uid=StudyInstanceUID(row.study_instance_uid),
        receipt=Receipt(row.receipt),
        current=bool(row.current),
        received_at=row.received_at,
        calling_ae_title=row.calling_ae_title,
        file_key=row.file_key,
        size_bytes=row.size_bytes,
        dataset_digest=row.dataset_digest,
        repeats=row.repeats,
        repeated_at=row.repeated_at,
    )


def known_keys(database: Database) -> Iterator[str]:
    """Yield the file key of every version, conflicts too, for `reconcile`."""
    query = select(versions.c.file_key).execution_options(yield_per=1000)
    with database.read() as connection:
        yield from connection.execute(query).scalars()


def latest_keys(database: Database, *, seconds: float) -> list[tuple[str, int]]:
    """Return key and data set size of what was received in the last seconds of all."""
    newest = select(func.max(versions.c.received_at))
    with database.read() as connection:
        last = connection.execute(newest).scalar_one()
        if last is None:
            return []
        query = select(versions.c.file_key, versions.c.size_bytes).where(
            versions.c.received_at >= last - timedelta(seconds=seconds)
        )
        return [(row.file_key, row.size_bytes) for row in connection.execute(query)]


def recorded_keys(database: Database, keys: Sequence[str]) -> frozenset[str]:
    """Say which of these file keys have a row; reads every version to find out.

    Raises:
        DatabaseError: the database does not say, within `busy_seconds`.
    """
    found: set[str] = set()
    with deadline.Within(database.busy_seconds), database.read() as connection:
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            query = select(versions.c.file_key).where(versions.c.file_key.in_(some))
            found.update(connection.execute(query).scalars())
    return frozenset(found)


def known_report_keys(database: Database) -> Iterator[str]:
    """Yield the file key of every report, for who looks for files without one."""
    query = select(reports.c.file_key).execution_options(yield_per=1000)
    with database.read() as connection:
        yield from connection.execute(query).scalars()
