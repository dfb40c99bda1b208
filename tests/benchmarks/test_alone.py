"""A measurement in a process of its own: its cores, its end, and what it runs on."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE

from benchmarks.alone import Task, measure_alone
from benchmarks.contest import Contest, Entry
from benchmarks.latency import running_pacs
from benchmarks.models import SHIPPED, write_next_to_nothing, write_shipped_for_ct
from benchmarks.processes import BenchmarkError, start, wait_for
from inference.card import load_card
from inference.vit.model import TimmModel
from tests.peers import PROJECT


def task(function: str, folder: Path) -> Task:
    return Task(
        function=f"tests.benchmarks.test_alone:{function}",
        folder=str(folder),
        rounds=1,
        seconds=0.01,
        cores=(max(os.sched_getaffinity(0)),),
    )


def tell_cores(given: Task) -> list[Contest]:
    """Runs in the other process."""
    cores = sorted(os.sched_getaffinity(0))
    threads = os.environ["OMP_NUM_THREADS"]
    entry = Entry(name=f"{threads} thread", rates=[float(core) for core in cores])
    return [Contest(title=given.folder, entries=[entry])]


def fail(_given: Task) -> list[Contest]:
    """Runs in the other process."""
    raise BenchmarkError("this cannot be measured")


def start_and_wait(given: Task) -> list[Contest]:
    """Runs in the other process."""
    folder = Path(given.folder)
    program = start(["sleep", "600"], log=folder / "sleep.log")
    try:
        (folder / "pid").write_text(str(program.pid))
        program.process.wait()
    finally:
        program.end()
    return []


def test_a_measurement_has_its_own_cores_and_as_many_threads(tmp_path: Path) -> None:
    wanted = task("tell_cores", tmp_path / "own")
    (found,) = measure_alone(wanted)
    assert found.title == wanted.folder
    assert found.entries[0].name == "1 thread"
    assert found.entries[0].rates == [float(core) for core in wanted.cores]


def test_a_measurement_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="this cannot be measured"):
        measure_alone(task("fail", tmp_path))


def test_what_an_ended_measurement_started_ends_too(tmp_path: Path) -> None:
    told, pid = tmp_path / "task.json", tmp_path / "pid"
    told.write_text(json.dumps(asdict(task("start_and_wait", tmp_path))))
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.alone", told, tmp_path / "result.json"],
        cwd=PROJECT,
    ) as process:
        try:
            wait_for(
                lambda: pid.is_file() and pid.read_text() != "",
                what="the sleeper sleeps",
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 130
        finally:
            process.kill()
    wait_for(
        lambda: not Path("/proc", pid.read_text()).exists(),
        what="the sleeper has ended",
        seconds=10,
    )


def test_the_shipped_model_takes_ct_in_the_benchmark_and_is_else_the_same(
    tmp_path: Path,
) -> None:
    card = load_card(write_shipped_for_ct(tmp_path, "shipped-ct"))
    shipped = load_card(SHIPPED)
    assert card.scope.modalities == ("CT",)
    assert card.scope.body_parts == ()
    assert card.weights_sha256 == shipped.weights_sha256
    assert card.input == shipped.input
    assert card.batch_size == shipped.batch_size


def test_the_model_of_next_to_nothing_is_a_model_that_loads(tmp_path: Path) -> None:
    card = load_card(write_next_to_nothing(tmp_path, "nothing"))
    TimmModel(card).load("cpu")
    assert card.input.size == (224, 224)
    assert (tmp_path / "nothing" / "weights.safetensors").stat().st_size < 5 << 20


def _object_of(sop_class_uid: str) -> Dataset:
    made = Dataset()
    made.SOPClassUID = sop_class_uid
    made.SOPInstanceUID = generate_uid(prefix=None)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def test_the_pacs_of_the_benchmark_notes_when_it_took_report_and_picture() -> None:
    classes = (Comprehensive3DSRStorage, SecondaryCaptureImageStorage)
    moments = [datetime.now(UTC)]
    with running_pacs() as pacs:
        entity = AE(ae_title="NODE")
        for sop_class_uid in classes:
            entity.add_requested_context(sop_class_uid, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", pacs.port)
        for sop_class_uid in classes:
            status = association.send_c_store(_object_of(sop_class_uid)).Status
            assert status == 0x0000
            moments.append(datetime.now(UTC))
        association.release()
    (answered,), (pictured,) = pacs.answered, pacs.pictured
    assert moments[0] <= answered <= moments[1] <= pictured <= moments[2]
