"""How long files and records are kept."""

import re
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from config.table import Table

PrunedState = Literal["done", "ignored", "kept", "failed"]
_FREE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(%|[KMGT]?i?B)?", re.IGNORECASE)
_UNITS: Final = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4}


class RetentionTable(Table):
    """What `serve` removes by itself; nothing unless it is told to.

    Files alone are removed, never a study's rows; and never those of a study that has
    anything to do or to deliver.

    Args:
        keep_days: files of studies without any event for longer go; 0: they stay.
        free: when less than this is free on the disk ("200GB", "15%"), the oldest
            studies' files go until it is; "": never for that reason.
        free_keep_hours: the files of younger studies stay even then.
        states: of what studies: "done" (every result delivered), "ignored" (no route
            took them), "kept" (results that no destination was to get), "failed".
        every_minutes: how often it is looked for.
        records_days: associations, and the moves of settled work, older than that go;
            0: they stay.
        audit_days: the same of the audit.
    """

    keep_days: Annotated[float, Field(ge=0, le=36_500)] = 0.0
    free: str = ""
    free_keep_hours: Annotated[float, Field(ge=0)] = 24.0
    states: tuple[PrunedState, ...] = ("done", "ignored")
    every_minutes: Annotated[float, Field(gt=0, le=10_080)] = 60.0
    records_days: Annotated[float, Field(ge=0, le=36_500)] = 0.0
    audit_days: Annotated[float, Field(ge=0, le=36_500)] = 0.0

    @property
    def active(self) -> bool:
        """Whether anything is ever removed."""
        return bool(self.keep_days or self.free or self.records_days or self.audit_days)

    @field_validator("free")
    @classmethod
    def _amount(cls, value: str) -> str:
        if value:
            parse_free(value, total_bytes=1)
        return value


def parse_free(text: str, *, total_bytes: int) -> int:
    """Return how many bytes "20GB", "500 MB" or "15%" are.

    Args:
        total_bytes: of the disk, which a share counts from.

    Raises:
        ValueError: it is not written so.
    """
    found = _FREE.fullmatch(text.strip())
    if found is None:
        raise ValueError('free space is written as "20GB", "500MB" or "15%"')
    number, unit = float(found[1]), (found[2] or "B").upper().replace("I", "")
    if unit == "%":
        if number >= 100:
            raise ValueError("a share of the disk is less than 100%")
        return int(total_bytes * number / 100)
    return int(number * 1024 ** _UNITS[unit])
