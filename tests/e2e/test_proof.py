"""Every kind of object ends up in a real PACS, proven, and not one of them twice."""

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)

from tests import postgres
from tests.e2e.images import make_radiograph, new_study_uid, save
from tests.e2e.node import Node, NodeSettings, is_settled
from tests.e2e.pacs import StandInPacs
from tests.orthanc import Orthanc, OrthancSettings
from tests.peers import (
    Address,
    Machine,
    ToolProcess,
    free_port,
    run_tool,
    start_node,
    storescu,
    wait_until,
)

StartNode = Callable[[NodeSettings], Node]
MakeOrthanc = Callable[[OrthancSettings], Orthanc]
KINDS = ["kos", "sc", "sr"]
ROUTE = """
[[routes]]
name = "everything"
model = "tiny"
destinations = [{names}]
"""
DICOM = """
[[destinations]]
name = "pacs"
ae_title = "{pacs.ae_title}"
host = "127.0.0.1"
port = {pacs.port}
objects = ["sr", "sc", "kos"]
commitment = "{commitment}"
commitment_seconds = 1.0
commitment_requests = 60
read_back = "{read_back}"
"""
STOW = """
[[destinations]]
name = "web"
kind = "stow"
url = "{url}"
objects = ["sr", "sc", "kos"]
read_back = "qido"
"""


def _deliveries(study: dict[str, Any]) -> list[dict[str, Any]]:
    (job,) = study["jobs"]
    assert job["outcome"] == "present"
    found: list[dict[str, Any]] = job["deliveries"]
    return found


def _objects(orthanc: Orthanc, study: str, folder: Path) -> list[Dataset]:
    """Return what Orthanc has of a study, each found by dciodvfy to be clean."""
    (found,) = orthanc.rest(
        "/tools/find",
        method="POST",
        body={"Level": "Study", "Query": {"StudyInstanceUID": study}},
    )
    datasets: list[Dataset] = []
    for instance in orthanc.rest(f"/studies/{found}/instances"):
        path = folder / f"{instance['ID']}.dcm"
        path.write_bytes(orthanc.file(instance["ID"]))
        datasets.append(dcmread(path))
        if datasets[-1].SOPClassUID != ComputedRadiographyImageStorage:
            checked = run_tool("dciodvfy", "-new", path)
            assert "Error" not in checked.stdout, checked.stdout
    return datasets


def test_orthanc_has_report_picture_and_key_objects_and_has_proven_it(
    tmp_path: Path, models: Path, start_node: StartNode, make_orthanc: MakeOrthanc
) -> None:
    node_at = Address(port=free_port())
    pacs = make_orthanc(
        OrthancSettings(ae_title="PACS", modalities=[("node", node_at)])
    )
    web = make_orthanc(OrthancSettings(ae_title="WEB", dicomweb=True))
    tables = (
        DICOM.format(pacs=pacs.address, commitment="required", read_back="c-find")
        + STOW.format(url=web.dicomweb)
        + ROUTE.format(names='"pacs", "web"')
    )
    node = start_node(
        NodeSettings(
            folder=tmp_path / "node", models=models, address=node_at, routes=tables
        )
    )
    uid = new_study_uid()
    file = save(make_radiograph(uid), tmp_path)
    for archive in (pacs, web):
        archive.upload(file)
    assert storescu(node.address, [file]).returncode == 0
    study = node.wait_settled(uid)[uid]
    delivered = [
        (one["destination"], one["kind"], one["state"], one["proof"])
        for one in _deliveries(study)
    ]
    assert sorted(delivered) == [
        (name, kind, "DONE", "verified") for name in ("pacs", "web") for kind in KINDS
    ]
    (tmp_path / "read").mkdir()
    for archive in (pacs, web):
        found = _objects(archive, uid, tmp_path / "read")
        classes = Counter(str(one.SOPClassUID) for one in found)
        assert len(found) == 4
        assert classes[SecondaryCaptureImageStorage] == 1
        assert classes[KeyObjectSelectionDocumentStorage] == 1
        assert Counter(one.Modality for one in found)["SR"] == 1
        assert {one.PatientID for one in found} == {"T1"}
        assert {one.AccessionNumber for one in found} == {"A1"}
        sent = {one["sop_instance_uid"] for one in _deliveries(study)}
        assert sent == {one.SOPInstanceUID for one in found} - {file.stem}


def test_an_archive_that_dies_before_it_commits_is_asked_when_it_is_back(
    tmp_path: Path, models: Path, start_node: StartNode, make_orthanc: MakeOrthanc
) -> None:
    node_at = Address(port=free_port())
    nowhere = Address(port=free_port(), ae_title=node_at.ae_title)
    # It stores, and its reports go astray: the deliveries wait for them.
    astray = OrthancSettings(ae_title="PACS", modalities=[("node", nowhere)])
    first = make_orthanc(astray)
    tables = DICOM.format(
        pacs=first.address, commitment="required", read_back="off"
    ) + ROUTE.format(names='"pacs"')
    node = start_node(
        NodeSettings(
            folder=tmp_path / "node", models=models, address=node_at, routes=tables
        )
    )
    uid = new_study_uid()
    assert (
        storescu(node.address, [save(make_radiograph(uid), tmp_path)]).returncode == 0
    )
    wait_until(
        lambda: len(first.rest("/instances")) == 3, what="it has stored all", seconds=90
    )
    first.tool.process.send_signal(signal.SIGKILL)
    first.tool.process.wait(10)
    study = node.studies()[uid]
    assert {one["state"] for one in _deliveries(study)} <= {"QUEUED", "RUNNING"}

    again = OrthancSettings(
        ae_title="PACS",
        http_port=first.http_port,
        dicom_port=first.address.port,
        modalities=[("node", node_at)],
    )
    second = make_orthanc(again)
    study = node.wait_settled(uid)[uid]
    assert sorted(
        (one["kind"], one["state"], one["proof"]) for one in _deliveries(study)
    ) == [(kind, "DONE", "committed") for kind in KINDS]
    assert len(second.rest("/instances")) == 3


def _another_deliver_role(node: Node, log: Path) -> ToolProcess:
    return start_node(["deliver", "--config", node.configuration], log=log)


def test_two_deliver_roles_on_one_postgresql_send_nothing_twice(
    tmp_path: Path,
    models: Path,
    pacs: StandInPacs,
    start_node: StartNode,
    machine: Machine,
) -> None:
    tables = DICOM.format(
        pacs=pacs.address, commitment="off", read_back="off"
    ) + ROUTE.format(names='"pacs"')
    node = start_node(
        NodeSettings(
            folder=tmp_path / "node",
            models=models,
            address=Address(port=free_port()),
            database=postgres.new_database(),
            routes=tables,
        )
    )
    other = _another_deliver_role(node, tmp_path / "deliver.log")
    machine.add(other)
    uids = [new_study_uid() for _ in range(4)]
    files = [save(make_radiograph(uid), tmp_path) for uid in uids]
    assert storescu(node.address, files).returncode == 0
    found = node.wait_settled(*uids)
    for uid in uids:
        assert is_settled(found[uid])
        states = [(one["kind"], one["state"]) for one in _deliveries(found[uid])]
        assert sorted(states) == [(kind, "DONE") for kind in KINDS]
        arrived = [one.sop_instance_uid for one in pacs.of_study(uid)]
        assert len(arrived) == len(set(arrived)) == 3
    assert other.process.poll() is None
