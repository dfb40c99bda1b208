"""Read the tables of a card in spite of faults, so that all faults are named."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from pydantic import ValidationError

from inference.card_tables import CardFile

_ROUNDS: Final = 8
# What stands in for a required value that is missing or wrong.
_CONCEPT: Final = {"value": "0", "scheme": "99NONE", "meaning": "none"}
_STAND_INS: Final[Mapping[str, Any]] = {
    "activation": "sigmoid",
    "center": 0.0,
    "concept": _CONCEPT,
    "estimate": 0.0,
    "file": "none",
    "high": 0.0,
    "input": {},
    "intended_use": "none",
    "licence": "none",
    "low": 0.0,
    "manufacturer": "none",
    "meaning": "none",
    "model": {},
    "name": "none",
    "network": {},
    "output": {},
    "scheme": "99NONE",
    "site": _CONCEPT,
    "size": [224, 224],
    "unit": _CONCEPT,
    "value": "0",
    "version": "none",
    "weights_sha256": "0" * 64,
    "width": 1.0,
}

Place = tuple[str | int, ...]


def read_tables(
    document: dict[str, Any],
) -> tuple[CardFile | None, tuple[str, ...], frozenset[str]]:
    """Read the tables of card.toml, with stand-ins where a value cannot be used.

    Returns:
        The tables (None where no stand-in helps), every fault with the key it stands
        at, and the keys that were mended.
    """
    mending = deepcopy(document)
    faults: dict[str, None] = {}
    mended: set[str] = set()
    for _ in range(_ROUNDS):
        try:
            tables = CardFile.model_validate(mending)
            return tables, tuple(faults), frozenset(mended)
        except ValidationError as error:
            items = error.errors(include_url=False, include_input=False)
        for item in items:
            place, kind = tuple(item["loc"]), str(item["type"])
            if _name(place) not in mended:
                faults[_fault(place, kind, str(item["msg"]))] = None
            # Of another length than the mended list once was: last one first.
        for item in reversed(items):
            mended.add(_mend(mending, tuple(item["loc"]), str(item["type"])))
    return None, tuple(faults), frozenset(mended)


def _fault(place: Place, kind: str, message: str) -> str:
    text = {
        "missing": "is missing",
        "extra_forbidden": "is not a key of a card",
    }.get(kind, message.removeprefix("Value error, "))
    return f"{_name(place)}: {text}" if place else text


def _name(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _mend(document: dict[str, Any], place: Place, kind: str) -> str:
    """Put a stand-in where a value is missing or wrong, or leave it to its default.

    Returns:
        The key that was mended.
    """
    holder, key, path = _locate(document, place)
    if kind == "missing" and isinstance(holder, dict):
        holder[key] = deepcopy(_STAND_INS.get(str(key), "none"))
        return _name(path)
    # The path of a list's element ends at the list: its other elements may depend on
    # how many there are.
    if isinstance(holder, list):
        return _mend(document, path[:-1], kind)
    if isinstance(holder, dict):
        if key in _STAND_INS and kind != "extra_forbidden":
            holder[key] = deepcopy(_STAND_INS[str(key)])
        else:
            holder.pop(key, None)
    return _name(path)


def _locate(document: dict[str, Any], place: Place) -> tuple[Any, str | int, Place]:
    """Find what holds the value at a place; a place may go on into type names."""
    holder: Any = document
    for depth, key in enumerate(place[:-1]):
        inside = holder.get(key) if isinstance(holder, dict) else _item(holder, key)
        if not isinstance(inside, dict | list):
            return holder, key, place[: depth + 1]
        holder = inside
    return holder, place[-1] if place else "", place


def _item(holder: Any, key: str | int) -> Any:
    known = isinstance(holder, list) and isinstance(key, int) and key < len(holder)
    return holder[key] if known else None
