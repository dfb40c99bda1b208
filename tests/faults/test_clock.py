"""The wall clock jumps while associations are open (F15)."""

from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.instances import make_study
from tests.faults.rows import fault_row
from tests.faults.senders import Association, SenderLog

JUMPS = {"an hour back": -3600, "a day on": 86400, "a year back": -31536000, "now": 0}


def _libfaketime() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is missing: apt-get install faketime")
    return found[0]


def test_a_clock_that_jumps_ends_no_association_and_loses_nothing(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with fault_row(
        "F15",
        fault=f"the wall clock jumps: {', '.join(JUMPS)}",
        how="libfaketime on the node, one association open over all jumps",
        expected="no timer fires, each store answered 0x0000, exit 0",
    ) as measured:
        clock = tmp_path / "clock"
        clock.write_text("+0\n")
        node = make_node(own_interpreter=True).start(
            environment={
                "LD_PRELOAD": str(_libfaketime()),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                # Linux' monotonic clock does not jump when somebody sets the time.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        )
        longer = Association.open(node.port, log)
        stored_in = set()
        for seconds in JUMPS.values():
            clock.write_text(f"{seconds:+d}\n")
            assert longer.store(make_study(1)[0]) == 0
            node.serve_seconds(log)
            stored_in.add(node.events()[-1]["at"])
        longer.release()
        days = {str(at)[:10] for at in stored_in}
        assert len(days) >= 3, "the node never saw the clock jump"
        verdict = checker.check(node, log)
        assert node.stop() == 0
        assert [event for event in node.events() if event["level"] == "error"] == []
        measured |= {"jumps": len(JUMPS), **verdict.counts()}
