"""Studies, results and deliveries as the tests of the API need them."""

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from db import work
from db.engine import Database
from dicom_node.core.ids import StudyId
from dicom_node.core.refusal import RefusedInstance
from dicom_node.core.states import Urgency
from dicom_node.core.types import Route, Setback, Suggestion
from tests.integration.db.samples import (
    CR,
    after,
    claim,
    claim_delivery,
    enter,
    received,
    report,
    route_study,
    settlement,
    with_header,
)

EVIL = '<script>alert("x")</script>'
EVIL_NAME = f"=Doe^{EVIL}"
ROUTE = Route(name="chest", model="cxr", destinations=("pacs",))


def enter_study(
    database: Database, uid: str, *, accession: str = "A1", at: float = 0
) -> StudyId:
    """Receive a study of one instance."""
    item = with_header(received(uid, at=after(at)), accession_number=accession)
    return enter(database, item).study_id


def finish(
    database: Database, study_id: StudyId, *, urgency: Urgency | None, at: float = 1
) -> None:
    """Route the study, infer on it and queue its delivery."""
    route_study(database, study_id, ROUTE, at=at)
    job = claim(database, at=at)
    suggestion = None
    if urgency is not None:
        suggestion = Suggestion(
            urgency=urgency,
            reason="Pneumonia 0.88 (threshold 0.50)",
            expires_at=after(3600),
        )
    made = settlement(report(f"2.25.{job.job_id}"))
    work.settle_job(database, job, replace(made, suggestion=suggestion), now=after(at))


def fail_delivery(database: Database, *, at: float = 10) -> int:
    """Let the next delivery fail for good; return its number."""
    delivery = claim_delivery(database, at=at)
    setback = Setback(reason="the PACS refused", status=0xA700)
    work.fail(database, delivery, setback, now=after(at))
    return int(delivery.delivery_id)


def write_file(folder: Path, key: str, *, name: str = EVIL_NAME) -> None:
    """Write the file of an instance with this patient."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(CR)
    meta.MediaStorageSOPInstanceUID = UID("1.2.3.1.1")
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = CR, "1.2.3.1.1"
    dataset.PatientName, dataset.PatientID = name, "P1"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
    dataset.save_as(folder / key, enforce_file_format=True)


REFUSED = RefusedInstance(
    at=after(5),
    calling_ae_title="CT1",
    called_ae_title="AINODE",
    peer_address="10.0.0.1",
    sop_class_uid=CR,
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    sop_instance_uid="2.25.1.9",
    study_instance_uid="2.25.1",
    accession_number="A1",
    status=0xC000,
    reason="Rows or Columns is missing or zero",
    size_bytes=1000,
)
