"""A real Orthanc routes studies in and gets the reports back into the same study."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.e2e.images import make_radiograph, new_study_uid, save
from tests.e2e.node import Node, NodeSettings
from tests.orthanc import Orthanc, OrthancSettings, start_orthanc
from tests.peers import (
    PROJECT,
    Address,
    free_port,
    run_tool,
    storescu,
    wait_until,
)

SCRIPTS = sorted((PROJECT / "docs" / "orthanc").glob("*.lua"))


@dataclass(frozen=True)
class Hospital:
    """An Orthanc that routes to a node that reports to the Orthanc."""

    orthanc: Orthanc
    node: Node


@pytest.fixture(scope="module", params=SCRIPTS, ids=lambda path: path.stem)
def hospital(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    models: Path,
) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    pacs = Address(port=free_port(), ae_title="ORTHANC")
    settings = NodeSettings(
        folder=folder / "node",
        models=models,
        address=Address(port=free_port()),
        destinations=[("pacs", pacs)],
    )
    node = Node(settings=settings)
    orthanc = start_orthanc(
        folder / "orthanc",
        OrthancSettings(
            dicom_port=pacs.port,
            lua=[request.param],
            modalities=[("ainode", settings.address)],
        ),
    )
    try:
        node.start()
        yield Hospital(orthanc=orthanc, node=node)
    finally:
        if node.tool is not None:
            node.tool.stop(seconds=30)
        orthanc.stop()


def _wait_idle(orthanc: Orthanc, study: str, *, stable: int) -> None:
    """Wait until the study became stable so often and no job of Orthanc is left."""

    def idle() -> bool:
        changes = orthanc.rest("/changes?limit=1000")["Changes"]
        often = sum(
            change["ChangeType"] == "StableStudy" and change["ID"] == study
            for change in changes
        )
        jobs = orthanc.rest("/jobs?expand")
        return often >= stable and all(job["State"] == "Success" for job in jobs)

    wait_until(idle, what="Orthanc has sent everything", seconds=60, every=0.2)


def test_the_report_of_a_routed_study_is_in_the_same_study(
    hospital: Hospital, tmp_path: Path
) -> None:
    orthanc, node = hospital.orthanc, hospital.node
    uid = new_study_uid()
    files = [
        save(make_radiograph(uid, number=number), tmp_path) for number in (1, 2, 3)
    ]
    sent = storescu(orthanc.address, files)
    assert sent.returncode == 0, sent.stdout
    wait_until(lambda: orthanc.reports(uid), what="the report is in Orthanc")

    (report,) = orthanc.reports(uid)
    [study] = [
        study
        for study in orthanc.rest("/studies?expand")
        if study["MainDicomTags"]["StudyInstanceUID"] == uid
    ]
    assert len(study["Series"]) == 2
    path = tmp_path / "report.dcm"
    path.write_bytes(orthanc.file(report))
    dataset = dcmread(path)
    assert dataset.StudyInstanceUID == uid
    assert dataset.PatientID == "T1"
    assert dataset.AccessionNumber == "A1"
    assert _cited(dataset) == {file.stem for file in files}
    _assert_valid(path)

    # Orthanc may now route the study again, report included: nothing happens.
    _wait_idle(orthanc, study["ID"], stable=2)
    found = node.wait_settled(uid)[uid]
    assert found["state"] == "ROUTED"
    assert found["revision"] == 1
    [job] = found["jobs"]
    assert job["outcome"] == "present"
    [delivery] = job["deliveries"]
    assert delivery["state"] == "DONE"
    assert delivery["status"] == "0x0000"
    assert delivery["sop_instance_uid"] == dataset.SOPInstanceUID
    assert len(orthanc.reports(uid)) == 1


def test_a_late_image_makes_a_second_report_that_names_the_first(
    hospital: Hospital, tmp_path: Path
) -> None:
    orthanc, node = hospital.orthanc, hospital.node
    uid = new_study_uid()
    storescu(orthanc.address, [save(make_radiograph(uid, number=1), tmp_path)])
    node.wait_settled(uid)
    storescu(orthanc.address, [save(make_radiograph(uid, number=2), tmp_path)])
    wait_until(lambda: len(orthanc.reports(uid)) == 2, what="two reports are there")
    found = node.wait_settled(uid, revision=2)[uid]
    assert [job["revision"] for job in found["jobs"]] == [1, 2]
    first, second = (job["deliveries"][0]["sop_instance_uid"] for job in found["jobs"])
    reports = {}
    for instance in orthanc.reports(uid):
        path = tmp_path / f"{instance}.dcm"
        path.write_bytes(orthanc.file(instance))
        _assert_valid(path)
        dataset = dcmread(path)
        reports[dataset.SOPInstanceUID] = dataset
    assert reports.keys() == {first, second}
    assert "PredecessorDocumentsSequence" not in reports[first]
    assert _references(reports[second].PredecessorDocumentsSequence) == {first}
    assert len(_cited(reports[second])) == 2


def test_the_pacs_may_be_down_when_the_report_is_due(
    tmp_path: Path, models: Path
) -> None:
    orthanc = start_orthanc(tmp_path / "orthanc")
    settings = NodeSettings(
        folder=tmp_path / "node",
        models=models,
        address=Address(port=free_port()),
        destinations=[("pacs", orthanc.address)],
    )
    node = Node(settings=settings)
    try:
        node.start()
        orthanc.stop()
        uid = new_study_uid()
        storescu(node.address, [save(make_radiograph(uid), tmp_path)])

        def tried() -> str | None:
            jobs = node.studies().get(uid, {}).get("jobs", [])
            deliveries = [item for job in jobs for item in job["deliveries"]]
            if deliveries and deliveries[0]["attempts"] >= 1:
                return str(deliveries[0]["state"])
            return None

        state = wait_until(tried, what="a delivery was tried", every=0.2)
        assert state in {"QUEUED", "RUNNING"}
        again = OrthancSettings(
            http_port=orthanc.http_port, dicom_port=orthanc.address.port
        )
        orthanc = start_orthanc(tmp_path / "orthanc", again)
        found = node.wait_settled(uid)[uid]
        [delivery] = found["jobs"][0]["deliveries"]
        assert delivery["state"] == "DONE"
        assert delivery["attempts"] >= 2
        [report] = orthanc.reports(uid)
        tags = orthanc.rest(f"/instances/{report}")["MainDicomTags"]
        assert tags["SOPInstanceUID"] == delivery["sop_instance_uid"]
    finally:
        if node.tool is not None:
            node.tool.stop(seconds=30)
        orthanc.stop()


def _cited(report: Dataset) -> set[str]:
    return {
        uid
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for uid in (
            str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence
        )
    }


def _references(predecessors: object) -> set[str]:
    report = Dataset()
    report.CurrentRequestedProcedureEvidenceSequence = predecessors
    return _cited(report)


def _assert_valid(path: Path) -> None:
    for command in (("dciodvfy", "-new", path), ("dsrdump", "+Pt", path)):
        checked = run_tool(str(command[0]), *command[1:])
        errors = [
            line
            for line in checked.stdout.splitlines()
            if line.startswith(("Error", "E:"))
        ]
        assert (checked.returncode, errors) == (0, []), checked.stdout


def test_every_documented_script_is_run_here() -> None:
    assert [path.name for path in SCRIPTS] == ["route-series.lua", "route-study.lua"]
