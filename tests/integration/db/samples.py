"""Received instances, decisions and results as the tests need them."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from db import instances, studies, work
from db.engine import Database
from dicom_node.core.errors import ReceiveError
from dicom_node.core.ids import (
    DeviceUID,
    JobId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyId,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from dicom_node.core.states import Outcome
from dicom_node.core.types import (
    Addressee,
    AssociationRecord,
    CodedConcept,
    Delivery,
    Finding,
    ImageResult,
    Job,
    Prediction,
    ReceivedInstance,
    Recorded,
    Report,
    Route,
    RoutingDecision,
    RoutingHeader,
    Sent,
    Setback,
    Settlement,
    Verdict,
)

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CR = SOPClassUID("1.2.840.10008.5.1.4.1.1.1")
COMPREHENSIVE = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.33")
COMPREHENSIVE_3D = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.34")
EXPLICIT_LITTLE = TransferSyntaxUID("1.2.840.10008.1.2.1")


def after(seconds: float) -> datetime:
    """Return the moment so many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


def digest(text: str) -> str:
    """Return a sha256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def received(
    study: str = "1.2.3",
    number: int = 1,
    *,
    at: datetime = T0,
    pixels: str = "pixels",
    data: str = "",
) -> ReceivedInstance:
    """Return an instance in a file of its own.

    Args:
        data: stands for everything that is not pixels.
    """
    sop_instance_uid = f"{study}.1.{number}"
    content = digest(f"{sop_instance_uid} {data} {pixels}")
    return ReceivedInstance(
        sop_class_uid=CR,
        sop_instance_uid=SOPInstanceUID(sop_instance_uid),
        study_instance_uid=StudyInstanceUID(study),
        series_instance_uid=SeriesInstanceUID(f"{study}.1"),
        transfer_syntax_uid=EXPLICIT_LITTLE,
        calling_ae_title="MODALITY",
        called_ae_title="AINODE",
        peer_address="127.0.0.1",
        received_at=at,
        file_key=f"{content}-{digest(pixels)}-{uuid.uuid4().hex}",
        size_bytes=1000,
        dataset_digest=content[:32],
        header=RoutingHeader(
            modality="CR",
            body_part_examined="CHEST",
            patient_age_years=3.5,
            image_type=("ORIGINAL", "PRIMARY"),
            accession_number="A1",
            instance_number=number,
            has_pixels=bool(pixels),
        ),
    )


def with_header(item: ReceivedInstance, **changes: object) -> ReceivedInstance:
    """Return the instance with another header."""
    return replace(item, header=replace(item.header, **changes))  # type: ignore[arg-type]  # any field, by its name


def decision(*routes: Route, ignored_because: str | None = None) -> RoutingDecision:
    """Return a decision for these routes."""
    return RoutingDecision(
        routes=routes,
        verdicts=(
            Verdict(route="chest", rule="modality", attribute="Modality", matched=True),
            Verdict(
                route="chest",
                rule="view",
                attribute="ViewPosition",
                matched=False,
                detail="wants AP, the attribute is missing",
            ),
        ),
        ignored_because=ignored_because,
    )


CHEST = Route(name="chest", model="cxr", destinations=("pacs",))
BONE = Route(name="bone", model="bone-age", destinations=("pacs", "archive"))


def queue_job(
    database: Database, study: str = "1.2.3", *, route: Route = CHEST, at: float = 0
) -> JobId:
    """Receive and route a study of one instance; return its only job."""
    entered = enter(database, received(study, at=after(at)))
    (job_id,) = route_study(database, entered.study_id, route, at=at)
    return job_id


def route_study(
    database: Database, study_id: StudyId, *routes: Route, at: float = 0
) -> tuple[JobId, ...]:
    """Settle a study with these routes."""
    study = studies.load(database, study_id)
    return studies.settle(database, study, decision(*routes), now=after(at))


def claim(
    database: Database, *, owner: str = "worker", at: float = 0, lease: float = 60
) -> Job:
    """Claim a job that must be there."""
    job = work.claim_job(database, owner=owner, now=after(at), lease_seconds=lease)
    assert job is not None
    return job


def prediction(outcome: Outcome = Outcome.PRESENT, reason: str = "") -> Prediction:
    """Return a prediction with one finding and two images."""
    pneumonia = CodedConcept(value="233604007", scheme="SCT", meaning="Pneumonia")
    lung = CodedConcept(value="39607008", scheme="SCT", meaning="Lung")
    return Prediction(
        outcome=outcome,
        reason=reason,
        model="cxr",
        model_version="1.0.0",
        manufacturer="dicom-node",
        device_uid=DeviceUID("2.25.1"),
        weights_sha256=digest("weights"),
        findings=(
            Finding(
                concept=pneumonia,
                present=outcome is Outcome.PRESENT,
                probability=0.875,
                threshold=0.5,
                site=lung,
            ),
        ),
        images=(
            ImageResult(
                sop_instance_uid=SOPInstanceUID("1.2.3.1.1"),
                frames=(1,),
                scores=(0.125, 0.875),
                windowing="file window",
            ),
            ImageResult(
                sop_instance_uid=SOPInstanceUID("1.2.3.1.2"),
                error="the pixel data cannot be decoded",
            ),
        ),
        parameters=(("aggregation", "max"), ("device", "cpu")),
        research_only=True,
        started_at=T0,
        finished_at=after(1.5),
    )


def report(
    sop_instance_uid: str = "2.25.100", sop_class_uid: SOPClassUID = COMPREHENSIVE_3D
) -> Report:
    """Return a report."""
    return Report(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=SOPInstanceUID(sop_instance_uid),
        series_instance_uid=SeriesInstanceUID("2.25.99"),
        file_key=f"{sop_instance_uid}.dcm",
        sha256=digest(sop_instance_uid),
    )


def settlement(*reports: Report, destinations: Sequence[str] = ("pacs",)) -> Settlement:
    """Return a settlement with these reports, or with one."""
    return Settlement(
        prediction=prediction(),
        reports=reports or (report(),),
        addressees=tuple(Addressee(destination=name) for name in destinations),
    )


def association() -> AssociationRecord:
    """Return the record of an association on which nothing came."""
    return AssociationRecord(
        at=T0,
        calling_ae_title="CT1",
        called_ae_title="AINODE",
        peer_address="10.0.0.1",
        accepted=True,
    )


class KeyCompare:
    """Compares by what `received` wrote into the file keys."""

    def same_dataset(self, kept: str, other: str) -> bool:
        return kept.split("-")[0] == other.split("-")[0]

    def same_pixels(self, kept: str, other: str) -> bool:
        return kept.split("-")[1] == other.split("-")[1]


def enter(database: Database, item: ReceivedInstance) -> Recorded:
    """Record an instance."""
    (outcome,) = enter_all(database, item)
    if isinstance(outcome, ReceiveError):
        raise outcome
    return outcome


def enter_all(
    database: Database, *items: ReceivedInstance
) -> tuple[instances.Outcome, ...]:
    """Record instances in one transaction."""
    return instances.record_all(database, items, compare=KeyCompare())


SENT = Sent(status=0x0000, sop_instance_uid=SOPInstanceUID("2.25.100"))
REFUSED = Setback(reason="the PACS refused", status=0xA700)


def claim_delivery(database: Database, *, at: float = 10) -> Delivery:
    """Claim a delivery that must be there."""
    found = work.claim_delivery(
        database, owner="worker", now=after(at), lease_seconds=60
    )
    assert found is not None
    return found


def queue_delivery(database: Database) -> None:
    """Bring a study to the point where its report waits for the PACS."""
    queue_job(database)
    work.settle_job(database, claim(database), settlement(), now=after(3))
