"""Users and API tokens; of passwords and tokens there are only digests."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, or_, select, update

from db.columns import AnyRow, new_id
from db.desk_tables import api_tokens, users, web_sessions
from db.engine import Database
from dicom_node.core.errors import NodeError
from dicom_node.core.people import ApiToken, Role, User

# A token that is used all day costs one write a minute.
_USED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user to add; `password_hash` is argon2's text."""

    name: str
    role: Role
    sees_names: bool
    password_hash: str


def add_user(database: Database, user: NewUser, *, now: datetime) -> User:
    """Add a user.

    Raises:
        NodeError: the name is taken, be it by somebody whose login is disabled.
    """
    with database.write() as connection:
        taken = select(users.c.id).where(users.c.name == user.name)
        if connection.execute(taken).first() is not None:
            raise NodeError(
                "a user has this name: `dicom-node users passwd` sets another "
                "password and enables the login again"
            )
        added = connection.execute(
            insert(users).values(
                name=user.name,
                role=user.role,
                sees_names=user.sees_names,
                password_hash=user.password_hash,
                created_at=now,
            )
        )
        return User(
            user_id=new_id(added),
            name=user.name,
            role=user.role,
            sees_names=user.sees_names,
            created_at=now,
        )


def list_users(database: Database) -> tuple[User, ...]:
    """Return all users by name."""
    with database.read() as connection:
        rows = connection.execute(select(users).order_by(users.c.name)).all()
    return tuple(user_of(row) for row in rows)


def has_users(database: Database) -> bool:
    """Say whether anybody was ever added; a disabled login counts."""
    with database.read() as connection:
        return connection.execute(select(users.c.id).limit(1)).first() is not None


def find_user(database: Database, name: str) -> tuple[User, str] | None:
    """Return the user with this name and the hash of the password."""
    with database.read() as connection:
        row = connection.execute(select(users).where(users.c.name == name)).first()
    return None if row is None else (user_of(row), row.password_hash)


def set_password(database: Database, name: str, password_hash: str) -> None:
    """Set another password, enable the login and end every session.

    Raises:
        NodeError: there is no such user.
    """
    with database.write() as connection:
        user_id = connection.execute(
            update(users)
            .where(users.c.name == name)
            .values(password_hash=password_hash, disabled_at=None)
            .returning(users.c.id)
        ).scalar_one_or_none()
        if user_id is None:
            raise _unknown("user")
        connection.execute(
            delete(web_sessions).where(web_sessions.c.user_id == user_id)
        )


def change_user(
    database: Database, name: str, *, role: Role | None, sees_names: bool | None
) -> User:
    """Change what somebody may do; None leaves it. It holds from the next request.

    Raises:
        NodeError: there is no such user.
    """
    wanted = {"role": role, "sees_names": sees_names}
    values = {key: value for key, value in wanted.items() if value is not None}
    query = update(users).where(users.c.name == name).values(**values)
    with database.write() as connection:
        row = connection.execute(query.returning(*users.c)).first()
    if row is None:
        raise _unknown("user")
    return user_of(row)


def rehash_password(database: Database, user: User, *, old: str, new: str) -> None:
    """Keep the same password under another hash, unless it was changed meanwhile."""
    with database.write() as connection:
        connection.execute(
            update(users)
            .where(users.c.id == user.user_id, users.c.password_hash == old)
            .values(password_hash=new)
        )


def disable_user(database: Database, name: str, *, now: datetime) -> None:
    """Refuse the login from now on and end every session.

    Raises:
        NodeError: there is no such user.
    """
    with database.write() as connection:
        user_id = connection.execute(
            update(users)
            .where(users.c.name == name)
            .values(disabled_at=now)
            .returning(users.c.id)
        ).scalar_one_or_none()
        if user_id is None:
            raise _unknown("user")
        connection.execute(
            delete(web_sessions).where(web_sessions.c.user_id == user_id)
        )


def add_token(database: Database, token: ApiToken, *, digest: str) -> None:
    """Add an API token.

    Args:
        digest: SHA-256 of the token, hex.

    Raises:
        NodeError: the name is taken.
    """
    values = {
        "name": token.name,
        "role": token.role,
        "sees_names": token.sees_names,
        "digest": digest,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }
    with database.write() as connection:
        taken = select(api_tokens.c.id).where(api_tokens.c.name == token.name)
        if connection.execute(taken).first() is not None:
            raise NodeError("a token has this name: revoke it first, or use another")
        connection.execute(insert(api_tokens).values(**values))


def list_tokens(database: Database) -> tuple[ApiToken, ...]:
    """Return all tokens by name."""
    query = select(api_tokens).order_by(api_tokens.c.name)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return tuple(_token_of(row) for row in rows)


def revoke_token(database: Database, name: str) -> None:
    """Remove a token.

    Raises:
        NodeError: there is none with this name.
    """
    with database.write() as connection:
        query = delete(api_tokens).where(api_tokens.c.name == name)
        if connection.execute(query).rowcount == 0:
            raise _unknown("token")


def use_token(database: Database, digest: str, *, now: datetime) -> ApiToken | None:
    """Return the token with this digest, None without one that is valid now."""
    valid = (
        api_tokens.c.digest == digest,
        or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > now),
    )
    with database.read() as connection:
        row = connection.execute(select(api_tokens).where(*valid)).first()
    if row is None:
        return None
    if row.used_at is None or row.used_at <= now - _USED_EVERY:
        with database.write(durable=False) as connection:
            connection.execute(update(api_tokens).where(*valid).values(used_at=now))
    return _token_of(row)


def user_of(row: AnyRow) -> User:
    """Return the user that a row of `users` holds."""
    return User(
        user_id=row.id,
        name=row.name,
        role=Role(row.role),
        sees_names=row.sees_names,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )


def _token_of(row: AnyRow) -> ApiToken:
    return ApiToken(
        name=row.name,
        role=Role(row.role),
        sees_names=row.sees_names,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def _unknown(what: str) -> NodeError:
    return NodeError(f"there is no {what} with this name: `dicom-node users list`")
