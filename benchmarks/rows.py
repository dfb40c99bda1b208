"""What is measured side by side, and what is wanted of it."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.corpus import CT, DX, MR, Kind
from benchmarks.receivers import (
    FLOOR,
    ORTHANC,
    OURS,
    PYNETDICOM,
    STORESCP,
    STORESCP_TUNED,
    Durability,
)

SenderName = Literal["blaster", "storescu"]

_ALL: Final = (OURS, STORESCP, STORESCP_TUNED, ORTHANC, PYNETDICOM)
# The two that promise something about files, the limit, and one that promises nothing.
_DURABLE: Final = (OURS, FLOOR, ORTHANC, STORESCP_TUNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Our images per second, at least so many times those of another receiver."""

    against: str
    at_least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One scenario, measured on several receivers in turn.

    Args:
        sender: "blaster" costs nothing and every receiver has TCP_NODELAY=1 in its
            environment; "storescu" is dcmtk's, and all are as they come.
        max_cpu_seconds: of ours, for 1,000 images.
    """

    kind: Kind
    durability: Durability
    associations: int = 1
    sender: SenderName = "blaster"
    tls: bool = False
    receivers: tuple[str, ...] = _ALL
    bars: tuple[Bar, ...] = ()
    max_cpu_seconds: float | None = None

    @property
    def on_disk(self) -> bool:
        """Whether files lie on a disk; what syncs nothing is measured in memory."""
        return self.durability == "power-loss"

    @property
    def title(self) -> str:
        """Say what is measured, in a line."""
        number = f"{self.associations} association" + "s" * (self.associations > 1)
        by = {"blaster": "", "storescu": ", stock storescu"}[self.sender]
        return f"{self.kind.title}, {number}{by}{', TLS' * self.tls}, {self.durability}"


ROWS: Final = (
    Row(
        kind=CT,
        durability="process-crash",
        bars=(
            Bar(against=STORESCP, at_least=1.5),
            Bar(against=STORESCP_TUNED, at_least=0.9),
            Bar(against=ORTHANC, at_least=8),
            Bar(against=PYNETDICOM, at_least=15),
        ),
        max_cpu_seconds=0.5,
    ),
    Row(kind=CT, durability="process-crash", associations=4),
    Row(kind=CT, durability="process-crash", associations=8),
    Row(kind=MR, durability="process-crash"),
    Row(kind=DX, durability="process-crash"),
    Row(
        kind=CT,
        durability="process-crash",
        sender="storescu",
        bars=(
            Bar(against=STORESCP, at_least=20),
            Bar(against=ORTHANC, at_least=20),
        ),
    ),
    Row(
        kind=CT,
        durability="process-crash",
        tls=True,
        receivers=(OURS, STORESCP, STORESCP_TUNED, ORTHANC),
    ),
    Row(
        kind=CT,
        durability="process-crash",
        tls=True,
        associations=8,
        receivers=(OURS, STORESCP, STORESCP_TUNED, ORTHANC),
    ),
    *(
        Row(
            kind=CT,
            durability="power-loss",
            associations=associations,
            receivers=_DURABLE,
            bars=(
                Bar(against=ORTHANC, at_least=2.5 if associations == 1 else 3),
                Bar(against=FLOOR, at_least=0.8),
            ),
        )
        for associations in (1, 4, 8)
    ),
    Row(kind=MR, durability="power-loss", receivers=_DURABLE),
    Row(kind=DX, durability="power-loss", receivers=_DURABLE),
)


def chosen(durability: str, only: str) -> tuple[Row, ...]:
    """Choose rows by their durability ("both" is all) and words of their titles."""
    return tuple(
        row
        for row in ROWS
        if durability in {"both", row.durability}
        and all(
            re.search(rf"\b{re.escape(word)}\b", row.title, re.IGNORECASE)
            for word in only.split()
        )
    )
