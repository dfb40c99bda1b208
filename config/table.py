"""What every table of the configuration is, and the values that several have."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# PS3.5 6.2, VR AE: no backslash, no control character, not of spaces alone.
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")


def _ae_title(text: str) -> str:
    """Check an AE title, without outer spaces, which are not significant."""
    title = text.strip(" ")
    if not _AE_TITLE.fullmatch(title):
        raise ValueError(
            "an AE title is 1 to 16 characters of ASCII, not a backslash and not "
            "spaces alone"
        )
    return title


AETitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
TextList = tuple[str, ...]


class Table(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )
