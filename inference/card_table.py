"""The base of every table of card.toml."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the card: unknown keys and wrong types are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )
