"""What is wrong with the settings: all of it, in the words of the file."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.settings import Settings

Key = tuple[int | str, ...]

_WORDS: Final = {
    "extra_forbidden": "no such setting",
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be finite",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list: [...]",
    "model_type": "must be a table",
    "dict_type": "must be a table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong.

    Args:
        key: where in the tables; empty for what several tables disagree on.
        name: of the setting, as its file writes it.
        words: what is wrong with it.
    """

    key: Key
    name: str
    words: str

    @property
    def text(self) -> str:
        """The name and what is wrong."""
        return f"{self.name}: {self.words}" if self.name else self.words


def read_settings(data: Mapping[str, Any]) -> tuple[Settings | None, list[Fault]]:
    """Return the settings, or None and everything that is wrong with them."""
    try:
        return Settings.model_validate(data), []
    except ValidationError as error:
        items = error.errors(include_input=False, include_url=False)
    faults = [_fault(item, data) for item in items]
    return None, faults + _disagreements(data, items)


def _disagreements(
    data: Mapping[str, Any], items: Sequence[ErrorDetails]
) -> list[Fault]:
    """Find what sound tables disagree on, which pydantic asks of a whole alone."""
    if not any(item["loc"] for item in items):
        return []
    sound, unsound = deepcopy(dict(data)), set[str]()
    for item in items:
        key = item["loc"]
        if item["type"] != "extra_forbidden":  # of a list, all of it
            key = tuple(takewhile(lambda part: isinstance(part, str), key))
            unsound.add(".".join(str(part) for part in key))
        _drop(sound, key)
    try:
        Settings.model_validate(sound, context={"unsound": unsound})
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        return [_fault(item, data) for item in found if not item["loc"]]
    return []


def _drop(data: dict[str, Any], key: Key) -> None:
    """Remove a setting or a table, if it is still there."""
    table: Any = data
    try:
        for part in key[:-1]:
            table = table[part]
        del table[key[-1]]
    except (KeyError, IndexError, TypeError):
        return


def _fault(item: ErrorDetails, data: Mapping[str, Any]) -> Fault:
    key = item["loc"]
    return Fault(key=key, name=_name(key, data), words=_words(item))


def _words(item: ErrorDetails) -> str:
    key, kind = item["loc"], item["type"]
    if len(key) == 1 and kind == "tuple_type":
        return f"must be a list of tables: [[{key[0]}]]"
    if len(key) == 1 and kind == "model_type":
        return f"must be a table: [{key[0]}]"
    text = item["msg"].removeprefix("Value error, ")
    return _WORDS.get(kind) or text.replace("Input should", "must", 1)


def _name(key: Key, data: Mapping[str, Any]) -> str:
    """Name a setting as its file does; a table of a list by its name there."""
    if len(key) < 2 or not isinstance(key[1], int):
        return ".".join(str(part) for part in key)
    tables, number, *rest = key
    table = data[str(tables)][number]
    called = _called(table) if isinstance(table, dict) else None
    which = f"'{called}'" if isinstance(called, str) else f"number {int(number) + 1}"
    inner = ".".join(str(part) for part in rest)
    return f"[[{tables}]] {which}" + (f": {inner}" if inner else "")


def _called(table: Mapping[str, object]) -> object:
    return table.get("name") or table.get("ae_title")
