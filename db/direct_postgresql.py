"""The shortest way into PostgreSQL: few round trips, and one for a single instance."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import psycopg
from sqlalchemy import Connection

from db.direct import (
    VERSION_COLUMNS,
    VERSION_CONSTANTS,
    Arrival,
    Touch,
    recorded,
    touches,
)
from db.errors import translate
from db.postgresql import BoundedConnection
from dicom_node.core.types import Recorded

Cursor = psycopg.Cursor[tuple[Any, ...]]

_OPEN_STUDY: Final = (
    "state = 'RECEIVING' AND (accession_number <> '' OR %(accession)s = '')"
)
_TOUCH: Final = f"""
UPDATE studies SET last_instance_at = %(last)s, called_ae_title = %(called)s
WHERE study_instance_uid = %(study)s AND {_OPEN_STUDY}
RETURNING id, revision
"""  # noqa: S608 - constants of this program
_OPEN: Final = """
INSERT INTO studies (study_instance_uid, accession_number, state, revision,
    revision_started_at, first_instance_at, last_instance_at, called_ae_title)
VALUES (%(study)s, %(accession)s, 'RECEIVING', 1,
    %(first)s, %(first)s, %(last)s, %(called)s)
ON CONFLICT DO NOTHING RETURNING id, revision
"""
# A single instance needs no transaction around its one statement. The study is only
# touched if the instance is not known, unless another comes first at this very moment,
# and that one touches the study too.
_SINGLE: Final = f"""
WITH touched AS (
    UPDATE studies SET last_instance_at = %(at)s, called_ae_title = %(called)s
    WHERE study_instance_uid = %(study)s AND {_OPEN_STUDY}
    AND NOT EXISTS (SELECT 1 FROM instances WHERE sop_instance_uid = %(sop)s)
    AND NOT EXISTS (SELECT 1 FROM reports WHERE sop_instance_uid = %(sop)s)
    RETURNING id, revision
), added AS (
    INSERT INTO instances
        (study_id, sop_instance_uid, revision, own_result, received_at)
    SELECT id, %(sop)s, revision, FALSE, %(at)s FROM touched
    ON CONFLICT DO NOTHING RETURNING id, study_id, revision
), kept AS (
    INSERT INTO versions ({VERSION_COLUMNS})
    SELECT id, %(at)s, %(study)s, %(series)s, %(class)s, %(syntax)s, %(calling)s,
        %(called)s, %(peer)s, %(key)s, %(size)s, %(digest)s, %(header)s::json,
        {VERSION_CONSTANTS}
    FROM added
)
SELECT id, study_id, revision FROM added
"""  # noqa: S608 - names and constants of this program
_GROUP: Final = f"""
WITH item AS (
    SELECT * FROM unnest(%s::int[], %s::int[], %s::text[], %s::timestamptz[],
        %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[])
    AS item (study_id, revision, sop, at, study, series, class, syntax, calling,
        called, peer, key, size, digest, header)
), added AS (
    INSERT INTO instances
        (study_id, sop_instance_uid, revision, own_result, received_at)
    SELECT study_id, sop, revision, FALSE, at FROM item
    WHERE NOT EXISTS (SELECT 1 FROM reports WHERE sop_instance_uid = sop)
    ORDER BY sop
    ON CONFLICT DO NOTHING RETURNING id, sop_instance_uid
), kept AS (
    INSERT INTO versions ({VERSION_COLUMNS})
    SELECT id, at, study, series, class, syntax, calling, called, peer, key, size,
        digest, header::json, {VERSION_CONSTANTS}
    FROM added JOIN item ON sop = sop_instance_uid
)
SELECT sop_instance_uid, id FROM added
"""  # noqa: S608 - names and constants of this program


class PostgreSQLDirect:
    """Connections of its own, each used by one thread at a time."""

    def __init__(self, connect: Callable[[], BoundedConnection]) -> None:
        self._connect = connect
        self._idle: list[BoundedConnection] = []
        self._lock = threading.Lock()

    def enter(
        self, arrivals: Sequence[Arrival], *, durable: bool
    ) -> list[Recorded] | None:
        """Enter new instances in one transaction."""
        raw = self._take()
        if raw is not None:
            try:
                return self._enter_on(raw, arrivals, durable=durable)
            except psycopg.Error as error:
                if not _is_lost(error):
                    raise translate(error) from None
                # The server was restarted since; all idle connections are lost.
                self.close()
        try:
            return self._enter_on(self._open(), arrivals, durable=durable)
        except psycopg.Error as error:
            raise translate(error) from None

    def _enter_on(
        self, raw: BoundedConnection, arrivals: Sequence[Arrival], *, durable: bool
    ) -> list[Recorded] | None:
        try:
            raw.set_durable(durable)
            cursor = raw.cursor()
            entered = _enter_one(cursor, arrivals[0]) if len(arrivals) == 1 else None
            if entered is None:
                cursor.execute("BEGIN")
                entered = _enter(cursor, arrivals)
                cursor.execute("ROLLBACK" if entered is None else "COMMIT")
        except BaseException:
            raw.close()
            raise
        with self._lock:
            self._idle.append(raw)
        return entered

    def enter_within(
        self, connection: Connection, arrivals: Sequence[Arrival]
    ) -> list[Recorded] | None:
        """Enter new instances inside a transaction that is open."""
        raw = cast("BoundedConnection", connection.connection.driver_connection)
        cursor = raw.cursor()
        try:
            cursor.execute("SAVEPOINT direct")
            entered = _enter(cursor, arrivals)
            if entered is None:
                cursor.execute("ROLLBACK TO direct")
            cursor.execute("RELEASE direct")
        except psycopg.Error as error:
            raise translate(error) from None
        return entered

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for raw in idle:
            raw.close()

    def _take(self) -> BoundedConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _open(self) -> BoundedConnection:
        raw = self._connect()
        raw.autocommit = True
        return raw


def _is_lost(error: psycopg.Error) -> bool:
    """Say whether the connection is gone, which a statement without fault noticed."""
    return isinstance(error, psycopg.OperationalError) and (
        not error.sqlstate or error.sqlstate.startswith(("08", "57P"))
    )


def _enter_one(cursor: Cursor, one: Arrival) -> list[Recorded] | None:
    item = one.item
    values = {
        "study": item.study_instance_uid,
        "accession": item.header.accession_number,
        "at": item.received_at,
        "sop": item.sop_instance_uid,
        "series": item.series_instance_uid,
        "class": item.sop_class_uid,
        "syntax": item.transfer_syntax_uid,
        "calling": item.calling_ae_title,
        "called": item.called_ae_title,
        "peer": item.peer_address,
        "key": item.file_key,
        "size": item.size_bytes,
        "digest": item.dataset_digest,
        "header": one.header,
    }
    row = cursor.execute(_SINGLE, values).fetchone()
    if row is None:
        return None
    instance_id, study_id, revision = row
    return [
        recorded(item, study_id=study_id, instance_id=instance_id, revision=revision)
    ]


def _enter(cursor: Cursor, arrivals: Sequence[Arrival]) -> list[Recorded] | None:
    opened: dict[str, tuple[int, int]] = {}
    for uid, touch in touches(arrivals).items():
        study = _enter_study(cursor, touch)
        if study is None:
            return None
        opened[uid] = study
    columns = zip(
        *(_row(one, *opened[one.item.study_instance_uid]) for one in arrivals),
        strict=True,
    )
    rows = cursor.execute(_GROUP, [list(column) for column in columns]).fetchall()
    ids: dict[str, int] = dict(rows)
    if len(ids) != len(arrivals):
        return None
    return [
        recorded(
            one.item,
            study_id=opened[one.item.study_instance_uid][0],
            instance_id=ids[one.item.sop_instance_uid],
            revision=opened[one.item.study_instance_uid][1],
        )
        for one in arrivals
    ]


def _enter_study(cursor: Cursor, touch: Touch) -> tuple[int, int] | None:
    """Touch or open the study; return its id and revision."""
    values = {
        "study": touch.study_instance_uid,
        "accession": touch.accession_number,
        "first": touch.first_at,
        "last": touch.last_at,
        "called": touch.called_ae_title,
    }
    found = cursor.execute(_TOUCH, values).fetchone()
    if found is None:
        found = cursor.execute(_OPEN, values).fetchone()
    return None if found is None else (found[0], found[1])


def _row(one: Arrival, study_id: int, revision: int) -> tuple[Any, ...]:
    item = one.item
    return (
        study_id,
        revision,
        item.sop_instance_uid,
        item.received_at,
        item.study_instance_uid,
        item.series_instance_uid,
        item.sop_class_uid,
        item.transfer_syntax_uid,
        item.calling_ae_title,
        item.called_ae_title,
        item.peer_address,
        item.file_key,
        item.size_bytes,
        item.dataset_digest,
        one.header,
    )
