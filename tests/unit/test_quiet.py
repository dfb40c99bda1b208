"""When a study is complete, should nothing more of it arrive."""

from datetime import UTC, datetime, timedelta

from dicom_node.core.quiet import Arrivals, QuietTimes

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _after(times: QuietTimes, *, last: float, called: str = "AINODE") -> float:
    arrivals = Arrivals(
        last_instance_at=START + timedelta(seconds=last),
        revision_started_at=START,
        called_ae_title=called,
    )
    return (times.complete_at(arrivals) - START).total_seconds()


def test_the_last_image_begins_the_wait_and_the_limit_ends_it() -> None:
    times = QuietTimes(quiet_seconds=60, limit_seconds=300)
    assert _after(times, last=5) == 65
    assert _after(times, last=290) == 300


def test_a_called_ae_title_has_its_own_time() -> None:
    times = QuietTimes(quiet_seconds=60, limit_seconds=300, called={"FAST ": 5})
    assert _after(times, last=5, called="FAST") == 10
    assert _after(times, last=5, called="AINODE") == 65
