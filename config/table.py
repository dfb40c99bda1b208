"""What every table of the configuration is, and the values that several have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

AETitle = Annotated[
    str,
    Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$"),
]
Port = Annotated[int, Field(ge=1, le=65535)]
TextList = tuple[str, ...]


class Table(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
