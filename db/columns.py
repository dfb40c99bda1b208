"""Column types: aware UTC times, text that every engine can hold."""

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, CursorResult, DateTime, Dialect, Row, String
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    AnyRow = Row[*tuple[Any, ...]]
else:  # SQLAlchemy 2.0 types a row by one tuple, 2.1 by its columns
    AnyRow = Row

UID_LENGTH = 128  # PS3.5 9.1 allows 64; senders in the wild exceed it
AE_LENGTH = 64  # PS3.5 6.2 allows 16
NAME_LENGTH = 256
TEXT_LENGTH = 1024
JSON_TEXT_LENGTH = 4 * TEXT_LENGTH
STATE_LENGTH = 16
MAX_ITEMS = 256


to_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def clean(text: str, length: int = TEXT_LENGTH) -> str:
    """Make text that SQLite and PostgreSQL both store: no NUL, valid UTF-8, bounded."""
    if len(text) <= length and text.isascii() and "\x00" not in text:
        return text
    kept = text.replace("\x00", "")[:length]
    return kept.encode("utf-8", "replace").decode("utf-8")


def clean_json(value: Any, length: int = JSON_TEXT_LENGTH) -> Any:
    """Clean every text of a JSON value.

    Raises:
        ValueError: a number is not finite.
    """
    if isinstance(value, str):
        return clean(value, length)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("JSON has no number that is not finite")
    if isinstance(value, dict):
        return {
            clean(str(key)): clean_json(item, length) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean_json(item, length) for item in value]
    return value


class UTCDateTime(TypeDecorator[datetime]):
    """Aware in, aware out; SQLite keeps the UTC time as sortable text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Refuse a naive time: it would mean another moment on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Give the zone back that SQLite cannot store."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value


class Text(TypeDecorator[str]):
    """Text from the wire: cleaned and cut to the column's length."""

    impl = String
    cache_ok = True

    def __init__(self, length: int = TEXT_LENGTH) -> None:
        super().__init__(length)
        self._length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean; truncation is silent because no decision hangs on the rest."""
        return None if value is None else clean(value, self._length)


class Identifier(TypeDecorator[str]):
    """A UID, digest or key: cleaned, never cut (two that differ must not meet)."""

    impl = String
    cache_ok = True

    def __init__(self, length: int = UID_LENGTH) -> None:
        super().__init__(length)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean only; PostgreSQL refuses what is too long, as `record` does."""
        return None if value is None else clean(value, len(value))


class Document(TypeDecorator[Any]):
    """A JSON document whose texts are cleaned and bounded."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Clean every text in the document."""
        return clean_json(value)


def new_id(added: "CursorResult[*tuple[Any, ...]]") -> int:
    """Return the primary key that an INSERT of one row was given."""
    key = added.inserted_primary_key
    if key is None:
        raise TypeError("only an INSERT of one row has a new key")
    return int(key[0])
