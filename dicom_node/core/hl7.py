"""HL7 v2 messages as bytes: what their segments and fields hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# HL7 table 0211, and what Python calls it; KS X 1001 travels as EUC-KR.
CODECS: Final[Mapping[str, str]] = {
    "UNICODE UTF-8": "utf-8",
    "8859/1": "iso8859_1",
    "KS X 1001": "euc_kr",
}
# HL7 table 0008, MSA-1. An answer is kept as the place of its code: 0 is AA.
ACKNOWLEDGEMENTS: Final = ("AA", "CA", "AE", "CE", "AR", "CR")
_CHARSET_FIELD: Final = 18  # of MSH


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message's segments as their fields, still escaped.

    Args:
        component: the separator within a field.
    """

    segments: tuple[tuple[str, ...], ...]
    component: str

    def named(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return the segments of this name."""
        return tuple(one for one in self.segments if one[0] == name)

    def value(self, name: str, field: int, component: int = 1) -> str:
        """Return a component of the first segment of this name, "" if there is none.

        Args:
            field: as the standard counts, MSH-1 being the separator itself.
        """
        for segment in self.named(name):
            index = field - 1 if name == "MSH" else field
            parts = segment[index].split(self.component) if index < len(segment) else []
            return parts[component - 1] if component <= len(parts) else ""
        return ""


def read_message(content: bytes) -> Message | None:
    """Read a message by its own separators; None if it does not begin with MSH.

    Without a character set that this node writes, bytes are read one by one.
    """
    raw = _split(content.decode("latin-1"))
    if raw is None:
        return None
    codec = CODECS.get(raw.value("MSH", _CHARSET_FIELD))
    return raw if codec is None else _split(content.decode(codec, "replace"))


def _split(text: str) -> Message | None:
    lines = [line for line in text.replace("\n", "\r").split("\r") if line]
    if not lines or not lines[0].startswith("MSH") or len(lines[0]) < 8:
        return None
    field, component = lines[0][3], lines[0][4]
    return Message(
        segments=tuple(tuple(line.split(field)) for line in lines),
        component=component,
    )
