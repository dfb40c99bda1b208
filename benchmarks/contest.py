"""Several ways to do the same thing, measured in turn, and what is wanted of ours."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from benchmarks.measure import Plan
from benchmarks.processes import BenchmarkError
from benchmarks.results import Verdict

OURS: Final = "dicom-node"
Lane = Callable[[], int]  # does the work once and tells how many images that were


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One entry shall be at least so many times as fast as another."""

    of: str
    against: str
    at_least: float


@dataclass(slots=True, kw_only=True)
class Entry:
    """One way, and its speed in every round.

    Args:
        rates: images per second, one for each round.
        problem: why it was not measured, "" if it was.
    """

    name: str
    rates: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def rate(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.rates)


@dataclass(slots=True, kw_only=True)
class Contest:
    """All ways to do one thing.

    Args:
        figures: what was measured besides speeds.
        remarks: what a reader must know of these figures, a sentence each.
    """

    title: str
    entries: list[Entry] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    figures: list[Verdict] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def of(self, name: str) -> Entry | None:
        """Return what was measured under this name; None if nothing."""
        for entry in self.entries:
            if entry.name == name and entry.rates and not entry.problem:
                return entry
        return None

    def ratio(self, of: str, against: str) -> float | None:
        """Return one speed over the other: the median of the rounds' own ratios."""
        one, other = self.of(of), self.of(against)
        if one is None or other is None:
            return None
        return statistics.median(
            a / b for a, b in zip(one.rates, other.rates, strict=False)
        )

    def verdicts(self) -> list[Verdict]:
        """Compare with what is wanted."""
        found = [
            Verdict(
                what=f"{self.title}: {wish.of} against {wish.against}",
                wanted=wish.at_least,
                measured=self.ratio(wish.of, wish.against),
                unit="x",
            )
            for wish in self.wishes
        ]
        return found + self.figures

    def missing(self, name: str, why: str) -> None:
        """Keep a line for what cannot be measured here."""
        self.entries.append(Entry(name=name, problem=why))


def compete(contest: Contest, lanes: Mapping[str, Lane], plan: Plan) -> Contest:
    """Run every lane for some seconds in turn, round by round."""
    timed = {name: partial(_rate, lane, plan.seconds) for name, lane in lanes.items()}
    return compete_timed(contest, timed, plan.rounds)


def compete_timed(
    contest: Contest, lanes: Mapping[str, Callable[[], float]], rounds: int
) -> Contest:
    """Run every lane once to warm up, then all in turn, round by round.

    A lane that fails with a BenchmarkError is left out from then on.

    Args:
        lanes: each runs one round and returns its images per second.
    """
    entries = {name: Entry(name=name) for name in lanes}
    for number in range(rounds + 1):
        for name, lane in lanes.items():
            entry = entries[name]
            if entry.problem:
                continue
            try:
                rate = lane()
            except BenchmarkError as error:
                entry.problem = str(error)
                continue
            if number:
                entry.rates.append(round(rate, 3))
    contest.entries += entries.values()
    return contest


def contest_from(document: Mapping[str, Any]) -> Contest:
    """Rebuild what another process measured and sent as `asdict`."""
    return Contest(
        title=document["title"],
        entries=[Entry(**one) for one in document["entries"]],
        wishes=[Wish(**one) for one in document["wishes"]],
        figures=[Verdict(**one) for one in document["figures"]],
        remarks=list(document["remarks"]),
    )


def _rate(lane: Lane, seconds: float) -> float:
    """Do the work again and again for about `seconds`, at least once."""
    done, begun = 0, time.perf_counter()
    while not done or time.perf_counter() - begun < seconds:
        done += lane()
    return done / (time.perf_counter() - begun)
