"""Parts at the pipeline's seams, and instances to send through it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dicom_node.core.errors import DeliveryError, InferenceError
from dicom_node.core.ids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    TransferSyntaxUID,
    derive_device_uid,
    derive_uid,
    digest_inputs,
)
from dicom_node.core.states import Outcome, ReportKind
from dicom_node.core.types import (
    CodedConcept,
    Finding,
    ImageResult,
    InputFile,
    Prediction,
    ReceivedInstance,
    Report,
    ReportFile,
    RoutingHeader,
    Sent,
)

DX = SOPClassUID("1.2.840.10008.5.1.4.1.1.1.1")
SR = "1.2.840.10008.5.1.4.1.1.88.34"
EXPLICIT = TransferSyntaxUID("1.2.840.10008.1.2.1")
PNEUMONIA = CodedConcept(value="233604007", scheme="SCT", meaning="Pneumonia")


class SteppedClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def step(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class FolderStore:
    """Files by their digest."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def put(self, content: bytes) -> str:
        key = hashlib.sha256(content).hexdigest()
        self.path(key).write_bytes(content)
        return key

    def path(self, key: str) -> Path:
        return self.folder / key

    def delete(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def intact(self, key: str) -> bool:
        return (
            self.path(key).exists()
            and hashlib.sha256(self.path(key).read_bytes()).hexdigest() == key
        )

    def same_dataset(self, kept: str, other: str) -> bool:
        return self.path(kept).read_bytes() == self.path(other).read_bytes()

    def same_pixels(self, kept: str, other: str) -> bool:
        return self.same_dataset(kept, other)


@dataclass
class ScriptedExecutor:
    """Answers with an outcome, or raises what it is given first."""

    clock: SteppedClock
    outcome: Outcome = Outcome.PRESENT
    raises: list[Exception] = field(default_factory=list)
    seen: list[tuple[InputFile, ...]] = field(default_factory=list)

    def predict(self, model: str, files: Sequence[InputFile]) -> Prediction:
        self.seen.append(tuple(files))
        if self.raises:
            raise self.raises.pop(0)
        evaluated = self.outcome in (Outcome.PRESENT, Outcome.ABSENT)
        finding = Finding(
            concept=PNEUMONIA,
            present=self.outcome is Outcome.PRESENT,
            probability=0.9,
            threshold=0.5,
        )
        return Prediction(
            outcome=self.outcome,
            reason="" if evaluated else "outside the scope",
            model=model,
            model_version="1",
            manufacturer="test",
            device_uid=derive_device_uid(model, "1", "00"),
            weights_sha256="00",
            findings=(finding,) if evaluated else (),
            images=tuple(
                ImageResult(sop_instance_uid=file.sop_instance_uid, scores=(0.9,))
                for file in files
            ),
            parameters=(),
            research_only=True,
            started_at=self.clock.now(),
            finished_at=self.clock.now(),
        )

    def close(self) -> None:
        pass


class LineReports:
    """Writes a report of two lines; UIDs derived as the architecture says."""

    def build(
        self,
        files: Sequence[InputFile],
        prediction: Prediction,
        *,
        sop_class_uids: Sequence[str],
        predecessors: Sequence[Report],
    ) -> tuple[tuple[Report, bytes], ...]:
        digest = digest_inputs(file.sop_instance_uid for file in files)
        built = []
        for sop_class_uid in sop_class_uids:
            uid = derive_uid(digest, prediction.device_uid, sop_class_uid)
            before = ",".join(item.sop_instance_uid for item in predecessors)
            content = f"{uid} {prediction.outcome}\n{before}".encode()
            report = Report(
                sop_class_uid=SOPClassUID(sop_class_uid),
                sop_instance_uid=SOPInstanceUID(uid),
                series_instance_uid=SeriesInstanceUID("2.25.1"),
                file_key="",
                sha256=hashlib.sha256(content).hexdigest(),
            )
            built.append((report, content))
        return tuple(built)


@dataclass
class ScriptedDestination:
    """Takes reports, or raises what it is given first."""

    name: str = "pacs"
    kinds: tuple[ReportKind, ...] = (ReportKind.SR,)
    sop_class_uids: tuple[str, ...] = (SR,)
    send_not_evaluated: bool = False
    raises: list[DeliveryError] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        file = reports[0]
        uid = file.report.sop_instance_uid
        assert chosen in (None, uid)
        on_chosen(uid)
        if self.raises:
            raise self.raises.pop(0)
        self.objects[uid] = file.path.read_bytes()
        return Sent(status=0, sop_instance_uid=uid)

    def check(self) -> None:
        pass


def received(
    store: FolderStore, clock: SteppedClock, *, number: int
) -> ReceivedInstance:
    """Return the n-th DX instance of one study, its file in the store."""
    content = f"instance {number}".encode()
    return ReceivedInstance(
        sop_class_uid=DX,
        sop_instance_uid=SOPInstanceUID(f"1.2.3.{number}"),
        study_instance_uid=StudyInstanceUID("1.2.3"),
        series_instance_uid=SeriesInstanceUID("1.2.3.1000"),
        transfer_syntax_uid=EXPLICIT,
        calling_ae_title="DX1",
        called_ae_title="AINODE",
        peer_address="127.0.0.1",
        received_at=clock.now(),
        file_key=store.put(content),
        size_bytes=len(content),
        dataset_digest=hashlib.sha256(content).hexdigest()[:32],
        header=RoutingHeader(modality="DX", has_pixels=True),
    )


def retryable() -> InferenceError:
    return InferenceError("the device is busy", retryable=True)
