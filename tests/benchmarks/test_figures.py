"""What the benchmark makes of its measurements, and where it writes it."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.corpus import CT
from benchmarks.machine import file_system
from benchmarks.measure import Plan
from benchmarks.page import BEGIN, END, Figures, document, write_page
from benchmarks.processes import (
    BenchmarkError,
    cpu_seconds,
    pss_mib,
    start,
    tree,
    wait_for,
)
from benchmarks.receivers import FLOOR, ORTHANC, OURS, PYNETDICOM, STORESCP
from benchmarks.report_time import ReportTimes
from benchmarks.results import (
    Measured,
    MemoryFigure,
    RowResult,
    Sample,
    Verdict,
    memory_verdicts,
    row_verdicts,
)
from benchmarks.rows import ROWS, Bar, Row, chosen
from benchmarks.soak import Moment, growth
from benchmarks.soak_check import check
from benchmarks.soak_senders import Acknowledged
from benchmarks.template import make_uid


def measured(receiver: str, *images: int, cpu: float = 0.1) -> Measured:
    """A receiver with rounds of one second each."""
    return Measured(
        receiver=receiver,
        samples=[Sample(images=n, seconds=1.0, cpu_seconds=cpu) for n in images],
    )


def result(*cells: Measured, bars: tuple[Bar, ...] = ()) -> RowResult:
    row = Row(kind=CT, durability="process-crash", bars=bars, max_cpu_seconds=0.5)
    return RowResult(row=row, image_bytes=1 << 19, cells=list(cells))


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    found = result(measured(OURS, 10, 100, 30), measured(STORESCP, 10, 10, 10))
    assert found.ratio(STORESCP) == 3


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    found = result(measured(OURS, 100, 10, 1), measured(STORESCP, 50, 5, 0))
    found.cells[1].samples.pop()
    assert found.ratio(STORESCP) == 2


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    found = result(measured(OURS, 10), Measured(receiver=STORESCP, problem="no"))
    assert found.ratio(STORESCP) is None
    assert found.ratio(ORTHANC) is None


def test_speed_is_a_median_and_cpu_is_summed_over_all_rounds() -> None:
    cell = measured(OURS, 100, 300, 200, cpu=0.3)
    assert cell.images_per_second == 200
    assert cell.cpu_seconds_per_1000 == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("value", "at_most", "reached"),
    [(2.0, False, True), (1.9, False, False), (2.1, True, False), (2.0, True, True)],
)
def test_a_bar_is_reached_or_not(value: float, at_most: bool, reached: bool) -> None:
    verdict = Verdict(what="", wanted=2, measured=value, unit="x", at_most=at_most)
    assert verdict.reached is reached


def test_what_was_not_measured_is_not_reached() -> None:
    found = row_verdicts(
        result(measured(STORESCP, 10), bars=(Bar(against=STORESCP, at_least=0),))
    )
    assert [one.reached for one in found] == [False, False]


def test_memory_is_held_against_its_associations() -> None:
    figures = [
        MemoryFigure(kind="CT", associations=8, largest_mib=value, wanted_mib=112)
        for value in (112, 112.1)
    ]
    assert [one.reached for one in memory_verdicts(figures)] == [True, False]


def test_every_bar_is_against_a_receiver_of_its_row() -> None:
    for row in ROWS:
        assert {bar.against for bar in row.bars} <= set(row.receivers)
        assert row.receivers[0] == OURS
    assert len({row.title for row in ROWS}) == len(ROWS)


def test_the_bars_are_those_of_the_issue() -> None:
    bars = {(row.title, bar.against): bar.at_least for row in ROWS for bar in row.bars}
    first = "CT 512x512, 1 association"
    assert bars[f"{first}, process-crash", STORESCP] == 1.5
    assert bars[f"{first}, process-crash", ORTHANC] == 8
    assert bars[f"{first}, process-crash", PYNETDICOM] == 15
    assert bars[f"{first}, stock storescu, process-crash", ORTHANC] == 20
    assert bars[f"{first}, power-loss", ORTHANC] == 2.5
    assert bars["CT 512x512, 8 associations, power-loss", ORTHANC] == 3
    assert bars["CT 512x512, 8 associations, power-loss", FLOOR] == 0.8


def test_rows_are_chosen_by_durability_and_words() -> None:
    assert chosen("both", "") == ROWS
    durable = chosen("power-loss", "ct 8")
    assert [row.title for row in durable] == ["CT 512x512, 8 associations, power-loss"]
    assert chosen("both", "ultrasound") == ()


def figures() -> Figures:
    return Figures(
        machine={"processor": "one"},
        command="python -m benchmarks",
        plan=Plan(rounds=3, seconds=1),
        rows=[
            result(
                measured(OURS, 1000, 1000),
                measured(STORESCP, 500, 500),
                Measured(receiver=ORTHANC, problem="not installed"),
                bars=(Bar(against=STORESCP, at_least=1.5),),
            )
        ],
        memory=[MemoryFigure(kind="CT", associations=0, largest_mib=80, wanted_mib=96)],
        report=ReportTimes(quiet_seconds=1, seconds=[0.25]),
    )


def test_a_page_keeps_what_is_not_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Ours\n\n{BEGIN}\nold\n{END}\n\nthe rest\n")
    write_page(page, figures())
    text = page.read_text()
    assert text.startswith("# Ours\n")
    assert text.endswith("the rest\n")
    assert "old" not in text
    assert "| dicom-node | 1,000 | 500 | 0.10 |" in text
    assert "| storescp | 500 | 250 | 0.20 |  | 2.00 x |" in text
    assert "| Orthanc | not installed |" in text
    assert "≥ 1.5 x | 2.00 x | ✓" in text
    write_page(page, figures())
    assert page.read_text() == text


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_page_without_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(BenchmarkError):
        write_page(page, figures())
    assert page.read_text() == text


def test_the_document_has_each_round() -> None:
    found = json.loads(json.dumps(document(figures())))
    (row,) = found["rows"]
    assert [one["images"] for one in row["receivers"][0]["samples"]] == [1000, 1000]
    assert found["wanted"][0]["reached"] is True


def test_the_time_of_children_counts(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\n"
    code = (
        "import subprocess, sys, signal\n"
        f"subprocess.run([sys.executable, '-c', {busy!r}])\n"
        "print('done', flush=True)\nsignal.pause()\n"
    )
    log = tmp_path / "log"
    program = start([sys.executable, "-c", code], log=log)
    try:
        wait_for(lambda: "done" in log.read_text(), what="the child is done")
        assert 0.3 <= cpu_seconds(program.pid) < 5
        assert 1 < pss_mib(program.pid) < 200
    finally:
        program.end()


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, signal\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import signal; signal.signal(15, signal.SIG_IGN); signal.pause()'])\n"
        "print('on', flush=True)\nsignal.pause()\n"
    )
    log = tmp_path / "log"
    program = start([sys.executable, "-c", code], log=log)
    wait_for(lambda: "on" in log.read_text(), what="it runs")
    wait_for(lambda: len(tree(program.pid)) == 2, what="its child runs")
    child = tree(program.pid)[1]
    assert program.end() == -signal.SIGTERM
    wait_for(lambda: not _lives(child), what="the child ended")


def test_a_program_that_ended_says_its_last_words(tmp_path: Path) -> None:
    program = start(["sh", "-c", "echo no such thing; exit 3"], log=tmp_path / "log")
    program.process.wait(30)
    with pytest.raises(BenchmarkError, match="no such thing"):
        program.require_running()


def test_nodelay_reaches_only_those_who_shall_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TCP_NODELAY", "0")
    monkeypatch.setenv("DICOM_NODE_NODE__PORT", "1")
    said = []
    for nodelay in (True, False):
        log = tmp_path / f"log-{nodelay}"
        program = start(["env"], log=log, nodelay=nodelay)
        program.process.wait(30)
        said.append(log.read_text())
    assert "TCP_NODELAY=1" in said[0]
    assert "TCP_NODELAY" not in said[1]
    assert "DICOM_NODE_" not in said[0] + said[1]


def test_the_file_system_of_a_folder_is_named() -> None:
    assert file_system(Path("/proc")) == "proc"


def moments(*memory: float) -> list[Moment]:
    return [
        Moment(seconds=n, threads=10, descriptors=20, pss_mib=value, answers=n)
        for n, value in enumerate(memory)
    ]


def test_memory_that_stays_is_no_growth() -> None:
    assert growth(moments(*[40.0, 40.0], *[90.0] * 8)) == []


def test_memory_that_grows_is_named() -> None:
    (fault,) = growth(moments(*[40.0 + 5 * n for n in range(10)]))
    assert fault == "pss_mib grew from 52.5 to 82.5"


def stored(data: Path, uid: str, dataset: bytes, *, key: str, row: bool = True) -> None:
    """Put an instance where a node has it: a file, and a row beside it."""
    folder = data / "instances" / key[:2]
    folder.mkdir(parents=True, exist_ok=True)
    meta = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
    head = b"\x02\0\0\0UL\x04\0" + len(meta).to_bytes(4, "little") + meta
    content = bytes(128) + b"DICM" + head + dataset
    (folder / f"{key}.dcm").write_bytes(content)
    with sqlite3.connect(data / "node.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS instances (id, sop_instance_uid)")
        database.execute("CREATE TABLE IF NOT EXISTS versions (instance_id, file_key)")
        if row:
            database.execute("INSERT INTO instances VALUES (?, ?)", (key, uid))
            database.execute("INSERT INTO versions VALUES (?, ?)", (key, key))
    database.close()


def told(uid: str, dataset: bytes) -> Acknowledged:
    import hashlib

    return Acknowledged(uid, hashlib.sha256(dataset).digest())


UID = make_uid(5)


def test_a_node_that_has_everything_is_clean(tmp_path: Path) -> None:
    stored(tmp_path, UID, b"one", key="a" * 64)
    stored(tmp_path, UID, b"two", key="b" * 64)  # other bytes, same UID
    found = check(tmp_path, [told(UID, b"one"), told(UID, b"two")])
    assert found.clean
    assert (found.acknowledged, found.files) == (2, 2)


def test_an_acknowledged_instance_that_is_gone_is_found(tmp_path: Path) -> None:
    stored(tmp_path, UID, b"one", key="a" * 64)
    found = check(tmp_path, [told(UID, b"other"), told(make_uid(6), b"one")])
    assert found.missing == 2


def test_what_is_left_over_is_found(tmp_path: Path) -> None:
    stored(tmp_path, UID, b"one", key="a" * 64)
    stored(tmp_path, UID, b"two", key="b" * 64, row=False)
    (tmp_path / "instances" / "x.part").touch()
    found = check(tmp_path, [])
    assert (found.left_over, found.without_row, found.without_file) == (1, 1, 0)
    next((tmp_path / "instances").rglob("a*.dcm")).unlink()
    assert check(tmp_path, []).without_file == 1


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "receive", "--quick"]
    process = subprocess.Popen(
        [*command, "--only", "MR power-loss", "--folder", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        wait_for(lambda: any(tmp_path.rglob("node.toml")), what="the node starts")
        started = tree(process.pid)[1:]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert list(tmp_path.iterdir()) == []
    wait_for(lambda: not any(map(_lives, started)), what="all programs end")


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
