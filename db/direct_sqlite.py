"""The shortest way into SQLite: the statements of a group, on the driver itself."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Final, cast

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
from db.sqlite import SQLiteConnection
from dicom_node.core.types import Recorded

_TOUCH: Final = """
UPDATE studies SET last_instance_at = ?, called_ae_title = ?
WHERE study_instance_uid = ? AND state = 'RECEIVING'
AND (accession_number <> '' OR ? = '')
RETURNING id, revision
"""
_OPEN: Final = """
INSERT INTO studies (study_instance_uid, accession_number, state, revision,
    revision_started_at, first_instance_at, last_instance_at, called_ae_title)
VALUES (?, ?, 'RECEIVING', 1, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING id, revision
"""
# The UID of a report of this node is not a new instance's.
_INSTANCE: Final = """
INSERT INTO instances (study_id, sop_instance_uid, revision, own_result, received_at)
SELECT ?1, ?2, ?3, FALSE, ?4
WHERE NOT EXISTS (SELECT 1 FROM reports WHERE sop_instance_uid = ?2)
ON CONFLICT DO NOTHING
"""
_VERSION: Final = f"""
INSERT INTO versions ({VERSION_COLUMNS})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {VERSION_CONSTANTS})
"""  # noqa: S608 - names and constants of this program
_TIME_CHARACTERS: Final = len("2026-01-01 00:00:00.000000")


class SQLiteDirect:
    """A connection of its own, used by one thread at a time.

    Args:
        turn: excludes the other writers of this process.
    """

    def __init__(
        self,
        connect: Callable[[], SQLiteConnection],
        turn: AbstractContextManager[None],
        *,
        busy_seconds: float,
    ) -> None:
        self._connect = connect
        self._turn = turn
        self._busy_seconds = busy_seconds
        self._connection: SQLiteConnection | None = None

    def enter(
        self, arrivals: Sequence[Arrival], *, durable: bool
    ) -> list[Recorded] | None:
        """Enter new instances in one transaction."""
        with self._turn:
            try:
                connection = self._connection or self._open()
                connection.begin_write(durable=durable, busy_seconds=self._busy_seconds)
                entered = _enter(connection.cursor(), arrivals)
                connection.execute("ROLLBACK" if entered is None else "COMMIT")
            except sqlite3.Error as error:
                self._drop()
                raise translate(error) from None
            except BaseException:
                self._drop()
                raise
            return entered

    def enter_within(
        self, connection: Connection, arrivals: Sequence[Arrival]
    ) -> list[Recorded] | None:
        """Enter new instances inside a transaction that is open."""
        raw = cast("SQLiteConnection", connection.connection.driver_connection)
        raw.execute("SAVEPOINT direct")
        entered = _enter(raw.cursor(), arrivals)
        if entered is None:
            raw.execute("ROLLBACK TO direct")
        raw.execute("RELEASE direct")
        return entered

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            self._drop()

    def _open(self) -> SQLiteConnection:
        self._connection = self._connect()
        return self._connection

    def _drop(self) -> None:
        """Close the connection; its transaction is rolled back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _enter(
    cursor: sqlite3.Cursor, arrivals: Sequence[Arrival]
) -> list[Recorded] | None:
    opened: dict[str, tuple[int, int]] = {}
    for uid, touch in touches(arrivals).items():
        study = _enter_study(cursor, touch)
        if study is None:
            return None
        opened[uid] = study
    done: list[Recorded] = []
    versions: list[tuple[Any, ...]] = []
    for one in arrivals:
        item = one.item
        at = _text(item.received_at)
        study_id, revision = opened[item.study_instance_uid]
        cursor.execute(_INSTANCE, (study_id, item.sop_instance_uid, revision, at))
        instance_id = cursor.lastrowid
        if cursor.rowcount != 1 or instance_id is None:
            return None
        versions.append(_version(one, instance_id, at))
        done.append(
            recorded(
                item, study_id=study_id, instance_id=instance_id, revision=revision
            )
        )
    cursor.executemany(_VERSION, versions)
    return done


def _enter_study(cursor: sqlite3.Cursor, touch: Touch) -> tuple[int, int] | None:
    """Touch or open the study; return its id and revision."""
    last = _text(touch.last_at)
    called, uid = touch.called_ae_title, touch.study_instance_uid
    accession = touch.accession_number
    found = cursor.execute(_TOUCH, (last, called, uid, accession)).fetchall()
    if not found:
        first = _text(touch.first_at)
        found = cursor.execute(
            _OPEN, (uid, accession, first, first, last, called)
        ).fetchall()
    return found[0] if found else None


def _version(one: Arrival, instance_id: int, at: str) -> tuple[Any, ...]:
    item = one.item
    return (
        instance_id,
        at,
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


def _text(at: datetime) -> str:
    """Write a time as SQLAlchemy does."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(" ", "microseconds")[:_TIME_CHARACTERS]
