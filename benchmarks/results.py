"""What was measured, and what follows from it."""

import statistics
from dataclasses import dataclass, field

from benchmarks.receivers import OURS
from benchmarks.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round of one receiver."""

    images: int
    seconds: float
    cpu_seconds: float

    @property
    def images_per_second(self) -> float:
        """From the first byte sent to the last answer."""
        return self.images / self.seconds


@dataclass(slots=True, kw_only=True)
class Measured:
    """All rounds of one receiver in one row.

    Args:
        memory_mib: the largest PSS seen of its receiving processes, None if it was
            not looked at.
        tls: version and cipher suite that were negotiated.
        problem: why it was not measured, "" if it was.
    """

    receiver: str
    samples: list[Sample] = field(default_factory=list)
    memory_mib: float | None = None
    tls: str = ""
    problem: str = ""

    @property
    def images_per_second(self) -> float:
        """Median of the rounds."""
        return statistics.median(one.images_per_second for one in self.samples)

    @property
    def cpu_seconds_per_1000(self) -> float:
        """Of the whole process tree, over all rounds."""
        used = sum(one.cpu_seconds for one in self.samples)
        return 1000 * used / sum(one.images for one in self.samples)


@dataclass(slots=True, kw_only=True)
class RowResult:
    """One row, measured."""

    row: Row
    image_bytes: int
    cells: list[Measured]

    def of(self, receiver: str) -> Measured | None:
        """Return what was measured of a receiver; None if nothing."""
        for cell in self.cells:
            if cell.receiver == receiver and cell.samples:
                return cell
        return None

    def ratio(self, receiver: str) -> float | None:
        """Return ours over theirs: the median of the rounds' own ratios.

        Rounds lie side by side, so a machine that slows down changes no ratio.
        """
        ours, theirs = self.of(OURS), self.of(receiver)
        if ours is None or theirs is None:
            return None
        return statistics.median(
            one.images_per_second / other.images_per_second
            for one, other in zip(ours.samples, theirs.samples, strict=False)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One figure that is wanted, and what it is.

    Args:
        measured: None if it could not be measured.
    """

    what: str
    wanted: float
    measured: float | None
    unit: str
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether the figure is as good as wanted."""
        if self.measured is None:
            return False
        if self.at_most:
            return self.measured <= self.wanted
        return self.measured >= self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFigure:
    """Memory of one receiver process while it receives.

    Args:
        largest_mib: the largest PSS of one receiver process.
    """

    kind: str
    associations: int
    largest_mib: float
    wanted_mib: float


def row_verdicts(result: RowResult) -> list[Verdict]:
    """Compare one row with its bars."""
    row = result.row
    found = [
        Verdict(
            what=f"{row.title}: against {bar.against}",
            wanted=bar.at_least,
            measured=result.ratio(bar.against),
            unit="x",
        )
        for bar in row.bars
    ]
    if row.max_cpu_seconds is not None:
        ours = result.of(OURS)
        found.append(
            Verdict(
                what=f"{row.title}: CPU for 1,000 images",
                wanted=row.max_cpu_seconds,
                measured=ours.cpu_seconds_per_1000 if ours else None,
                unit="s",
                at_most=True,
            )
        )
    return found


def counted(associations: int) -> str:
    """Say how many associations, in words that agree."""
    return f"{associations} association" + "s" * (associations != 1)


def memory_verdicts(figures: list[MemoryFigure]) -> list[Verdict]:
    """Compare the memory of a receiver process with its bar."""
    return [
        Verdict(
            what=f"memory (PSS) of a receiver process, {figure.kind}, "
            + counted(figure.associations),
            wanted=figure.wanted_mib,
            measured=figure.largest_mib,
            unit="MiB",
            at_most=True,
        )
        for figure in figures
    ]
