"""What the engines raise, as the node's own errors and without any value."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from dicom_node.core.errors import DatabaseError

# PostgreSQL Appendix A: serialization_failure, deadlock_detected.
_COLLISIONS: Final = ("40001", "40P01")
_INTEGRITY: Final = ("SQLITE_CONSTRAINT", "23")
_REMEDIES: Final = {
    "SQLITE_BUSY": "another process holds it for too long",
    "SQLITE_CANTOPEN": "there is none that this user may open: "
    "run `dicom-node serve` or `dicom-node migrate`, or correct database.url",
    "SQLITE_CORRUPT": "the file is damaged: restore it from a backup",
    "SQLITE_FULL": "the disk is full: free some space",
    "SQLITE_IOERR": "the disk reports an error",
    "SQLITE_LOCKED": "another connection of this process holds it",
    "SQLITE_NOTADB": "the file is not a SQLite database: correct database.url",
    "SQLITE_PERM": "access is denied: correct the file's owner",
    "SQLITE_READONLY": "the file or its folder is read-only",
    "28": "PostgreSQL refuses the login: correct database.url",
    "3D": "PostgreSQL has no such database: create it or correct database.url",
    "42501": "PostgreSQL denies access: let this user own the tables, or grant them",
    "42": "the tables do not fit: run `dicom-node migrate`",
    "53": "PostgreSQL is out of resources: connections, disk or memory",
    "55": "another transaction holds a lock for too long",
    "57014": "PostgreSQL is too slow for the time that it has",
    "57": "PostgreSQL is shutting down or starting up",
}


class Collision(DatabaseError):
    """Another transaction came first; the same call may work now."""


@contextmanager
def wrapped_errors() -> Iterator[None]:
    """Turn what SQLAlchemy raises into DatabaseError, without any value.

    Raises:
        Collision: a unique key is taken, or PostgreSQL chose this one to give up.
        DatabaseError: everything else, with its remedy where there is one.
    """
    try:
        yield
    except IntegrityError:
        raise _taken() from None
    except DBAPIError as error:
        raise translate(error.orig, type(error).__name__) from None
    except sqlite3.Error as error:  # from below SQLAlchemy, when a transaction begins
        raise translate(error) from None
    except SQLAlchemyError as error:
        raise DatabaseError(f"the database failed: {type(error).__name__}") from None


def translate(error: BaseException | None, name: str = "") -> DatabaseError:
    """Return what a driver's error means here.

    Args:
        name: what to call an error that has no code.
    """
    code = code_of(error)
    if code.startswith(_INTEGRITY):
        return _taken()
    if code in _COLLISIONS:
        return Collision("two transactions waited for each other")
    remedy = next(
        (text for key, text in _REMEDIES.items() if code.startswith(key)),
        "it cannot be reached or refuses the statement",
    )
    return DatabaseError(
        f"the database failed ({code or name or type(error).__name__}): {remedy}"
    )


def code_of(error: BaseException | None) -> str:
    """Return SQLite's name of an error or PostgreSQL's SQLSTATE; "" without one."""
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
    return name if isinstance(name, str) else ""


def _taken() -> Collision:
    return Collision("a row with this key exists, or its parent does not")
