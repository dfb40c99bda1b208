"""Logins of the page: a row per session, known by the digest of its cookie."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update

from db.desk_tables import users, web_sessions
from db.engine import Database
from db.people import user_of
from dicom_node.core.people import User

# The idle time is written again when so much of it is gone.
_RENEW_PART: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a login lasts.

    Args:
        idle: without a request.
        absolute: from the login, whatever is done.
    """

    idle: timedelta
    absolute: timedelta


def open_session(
    database: Database,
    user: User,
    *,
    digest: str,
    limits: SessionLimits,
    now: datetime,
) -> None:
    """Begin a session; those that are over are removed."""
    with database.write() as connection:
        connection.execute(delete(web_sessions).where(web_sessions.c.expires_at <= now))
        connection.execute(
            insert(web_sessions).values(
                digest=digest,
                user_id=user.user_id,
                created_at=now,
                expires_at=now + min(limits.idle, limits.absolute),
            )
        )


def use_session(
    database: Database, digest: str, *, limits: SessionLimits, now: datetime
) -> User | None:
    """Return whose session this is and begin its idle time again.

    None when there is none, when it is over, and when the user is disabled.
    """
    query = (
        select(
            users,
            web_sessions.c.created_at.label("begun_at"),
            web_sessions.c.expires_at,
        )
        .join(web_sessions, web_sessions.c.user_id == users.c.id)
        .where(web_sessions.c.digest == digest)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
    if row is None or row.disabled_at is not None:
        return None
    end = row.begun_at + limits.absolute
    # Limits that were made shorter hold for sessions that are open, too.
    if now >= min(row.expires_at, end):
        return None
    until = min(now + limits.idle, end)
    if until - row.expires_at > limits.idle / _RENEW_PART:
        with database.write(durable=False) as connection:
            connection.execute(
                update(web_sessions)
                .where(web_sessions.c.digest == digest)
                .values(expires_at=until)
            )
    return user_of(row)


def close_session(database: Database, digest: str) -> None:
    """End a session."""
    with database.write() as connection:
        connection.execute(delete(web_sessions).where(web_sessions.c.digest == digest))
