"""The table [[routes]]: which studies go to which model, and the results where."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from config.destinations import ObjectKind
from config.table import Table, TextList


class WhenTable(Table):
    """Conditions of a route; all must hold, an empty table matches every study.

    A list holds when one of its values is there. Text compares without regard to
    case; description takes globs.
    """

    modality: TextList = ()
    sop_class: TextList = ()
    body_part: TextList = ()
    view: TextList = ()
    calling_ae_title: TextList = ()
    called_ae_title: TextList = ()
    description: TextList = ()
    min_age_years: float | None = None
    max_age_years: float | None = None
    min_images: Annotated[int, Field(ge=0)] | None = None
    max_images: Annotated[int, Field(ge=0)] | None = None

    @field_validator(
        "modality",
        "sop_class",
        "body_part",
        "view",
        "calling_ae_title",
        "called_ae_title",
        "description",
        mode="before",
    )
    @classmethod
    def _text_or_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class RouteTable(Table):
    """Which studies go to which model and where the results go.

    Args:
        objects: kinds that an archive may get of this route's results; a destination
            gets those that both name.
    """

    name: Annotated[str, Field(min_length=1, max_length=128)]
    model: Annotated[str, Field(min_length=1, max_length=128)]
    destinations: TextList = ()
    objects: tuple[ObjectKind, ...] = ("sr", "sc", "kos")
    priority: Literal["urgent", "normal", "low"] = "normal"
    when: WhenTable = WhenTable()
