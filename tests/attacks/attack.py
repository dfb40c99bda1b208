"""The oracle: what holds during and after every attack, measured from outside."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import pytest

from tests.attacks.datasets import PATIENT
from tests.attacks.peer import Peer
from tests.attacks.receiver import MIB, Gauge, Receiver, faults
from tests.attacks.report import Measured, Row, report
from tests.peers import wait_until

GOOD_PEER = "127.0.0.2"
# A good peer may wait no longer for its C-ECHO, association and all.
SERVED_SECONDS = 1.0
SETTLE_SECONDS = 10.0
_EVERY_SECONDS = 0.05
# The allocator gives back late; a leak shows as more than this.
_RSS_SHARE, _RSS_ALLOWANCE = 0.2, 8 * MIB
# The database's pool opens a few files when associations come together.
_DESCRIPTORS_ALLOWANCE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An attack and how much memory it may cost at its peak.

    Args:
        peak_bytes: above what was resident before, over all processes.
    """

    id: str
    attack: str
    how: str
    expected: str
    peak_bytes: int = 64 * MIB


@dataclass(slots=True)
class GoodPeer:
    """Somebody at another address who wants C-ECHO all the time."""

    port: int
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told to stop; at least once."""
        while True:
            self._ask()
            if self._stop.wait(_EVERY_SECONDS):
                return

    def stop(self) -> None:
        """End `run` after what it is doing."""
        self._stop.set()

    def _ask(self) -> None:
        begun = time.monotonic()
        try:
            with Peer(self.port, source=GOOD_PEER) as peer:
                status = peer.established().echo()
                peer.release()
        except (OSError, AssertionError) as error:
            self.failures.append(f"{type(error).__name__} {error}")
            return
        self.times.append(time.monotonic() - begun)
        if status != 0:
            self.failures.append(f"status {status:04X}")


@dataclass(slots=True)
class Attack:
    """An attack that is going on and what was measured of it."""

    measured: Measured = field(default_factory=dict)

    def saw(self, text: str) -> None:
        """Note what the test itself saw; the oracle adds its own figures."""
        self.measured["seen"] = text


@contextmanager
def attack(receiver: Receiver, plan: Plan) -> Iterator[Attack]:
    """Attack in the block; afterwards everything has to be as it was before."""
    seen, outcome = Attack(), "FAILED"
    begun = time.monotonic()
    try:
        with _watched(receiver, plan, seen.measured):
            yield seen
        outcome = "held"
    finally:
        report(
            Row(
                id=plan.id,
                attack=plan.attack,
                how=plan.how,
                expected=plan.expected,
                outcome=outcome,
                measured=seen.measured,
                seconds=round(time.monotonic() - begun, 2),
            )
        )


@contextmanager
def _watched(receiver: Receiver, plan: Plan, measured: Measured) -> Iterator[None]:
    """Measure before, meanwhile and afterwards; fail where a bound is exceeded."""
    receiver.new_log()
    pids, before = receiver.pids(), receiver.gauge()
    receiver.forget_peak()
    good = GoodPeer(receiver.port)
    thread = threading.Thread(target=good.run, name="good-peer")
    thread.start()
    try:
        yield
    finally:
        good.stop()
        thread.join()
    peak = receiver.peak_bytes() - before.rss_bytes
    measured["peak_mib"] = max(round(peak / MIB), 0)
    measured["good_peer_seconds"] = round(max(good.times, default=0.0), 3)
    assert receiver.pids() == pids, "a process of the receiver died"
    assert not good.failures, f"a good peer was not served: {good.failures}"
    assert max(good.times) < SERVED_SECONDS, f"a good peer waited {max(good.times)} s"
    assert peak <= plan.peak_bytes, f"the peak was {peak / MIB:.0f} MiB"
    after = _settled(receiver, before)
    measured["kept_mib"] = round((after.rss_bytes - before.rss_bytes) / MIB)
    check_log(receiver)


def check_log(receiver: Receiver) -> None:
    """Fail on a fault of ours or a patient's name in what was logged since last."""
    lines = receiver.new_log()
    found = faults(lines)
    assert not found, found
    assert PATIENT.split("^")[0] not in str(lines)


def _settled(receiver: Receiver, before: Gauge) -> Gauge:
    """Wait until memory, threads, descriptors and store are as before."""
    try:
        wait_until(
            lambda: not _differences(receiver, before),
            what="the receiver is as before",
            seconds=SETTLE_SECONDS,
        )
    except pytest.fail.Exception:
        pytest.fail(f"afterwards: {_differences(receiver, before)}", pytrace=False)
    return receiver.gauge()


def _differences(receiver: Receiver, before: Gauge) -> list[str]:
    """Tell what the receiver holds more than it may."""
    now = receiver.gauge()
    most = Gauge(
        round(before.rss_bytes * (1 + _RSS_SHARE)) + _RSS_ALLOWANCE,
        before.threads,
        before.descriptors + _DESCRIPTORS_ALLOWANCE,
    )
    found = [
        f"{field.name} {getattr(now, field.name)}, before {getattr(before, field.name)}"
        for field in fields(Gauge)
        if getattr(now, field.name) > getattr(most, field.name)
    ]
    return found + [f"left behind: {path.name}" for path in receiver.strays()]
