"""An encoded data set whose UIDs can be exchanged; standard library only.

The sender of a measurement must start fast and cost nothing: it reads this, not
pydicom.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UID_LENGTH: Final = 44  # even, so that no padding moves
_ROOT: Final = "2.25."  # a number below 2**128 (PS3.5 B.2)


def make_uid(number: int) -> str:
    """Return the UID with this number, UID_LENGTH characters long.

    Args:
        number: at most 38 digits.
    """
    if not 0 <= number < 10**38:
        raise ValueError("the number of a UID has at most 38 digits")
    return f"{_ROOT}1{number:038}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One data set, explicit VR little endian.

    Args:
        offsets: of SOP, Study and Series Instance UID in it.
    """

    content: bytes
    sop_class_uid: str
    offsets: tuple[int, int, int]

    @classmethod
    def of(
        cls, content: bytes, sop_class_uid: str, *, placeholders: tuple[str, str, str]
    ) -> "Template":
        """Find the placeholders (instance, study, series) in an encoded data set.

        Raises:
            ValueError: one is not there exactly once.
        """
        found = []
        for uid in placeholders:
            wanted = uid.encode("ascii")
            if content.count(wanted) != 1:
                raise ValueError("each UID must be in the data set exactly once")
            found.append(content.index(wanted))
        sop, study, series = found
        return cls(
            content=content,
            sop_class_uid=sop_class_uid,
            offsets=(sop, study, series),
        )

    @classmethod
    def load(cls, path: Path) -> "Template":
        """Read what `save` wrote."""
        header, _, content = path.read_bytes().partition(b"\n")
        read = json.loads(header)
        sop, study, series = read["offsets"]
        return cls(
            content=content,
            sop_class_uid=read["sop_class_uid"],
            offsets=(sop, study, series),
        )

    def save(self, path: Path) -> Path:
        """Write a line of JSON and the data set; return the path."""
        header = {"sop_class_uid": self.sop_class_uid, "offsets": self.offsets}
        path.write_bytes(json.dumps(header).encode() + b"\n" + self.content)
        return path

    def with_uids(self, uids: tuple[str, str, str]) -> bytearray:
        """Return the data set with these UIDs (instance, study, series)."""
        copy = bytearray(self.content)
        for offset, uid in zip(self.offsets, uids, strict=True):
            if len(uid) != UID_LENGTH:
                raise ValueError(f"a UID here has {UID_LENGTH} characters")
            copy[offset : offset + UID_LENGTH] = uid.encode("ascii")
        return copy
