"""A running acceptor whose database is a list."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import ReceiveError
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.proof import CommitmentAnswer
from dicom_node.core.refusal import RefusedInstance
from dicom_node.core.states import Receipt
from dicom_node.core.types import AssociationRecord, ReceivedInstance, Recorded
from dicom_node.receive.acceptor import Acceptor, ReceiveParts
from dicom_node.receive.congestion import Congestion
from dicom_node.receive.options import ReceiveOptions
from dicom_node.receive.slots import Slots
from dicom_node.store.instances import InstanceFiles


@dataclass
class Node:
    """What a test sees of the node."""

    folder: Path
    port: int = 0
    received: list[ReceivedInstance] = field(default_factory=list)
    associations: list[AssociationRecord] = field(default_factory=list)
    refused: list[RefusedInstance] = field(default_factory=list)
    fault: Callable[[ReceivedInstance], None] | None = None
    receipt: Receipt = Receipt.NEW
    statuses: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    open: int = 0
    disk_failures: int = 0
    reports: list[CommitmentAnswer] = field(default_factory=list)
    # What the database says of a report: whether the transaction is known.
    answer: Callable[[CommitmentAnswer], bool] = lambda _: True

    def record(
        self, received: Sequence[ReceivedInstance]
    ) -> tuple[Recorded | ReceiveError, ...]:
        return tuple(self._record(item) for item in received)

    def _record(self, received: ReceivedInstance) -> Recorded | ReceiveError:
        try:
            if self.fault is not None:
                self.fault(received)
        except ReceiveError as error:
            return error
        self.received.append(received)
        return Recorded(
            receipt=self.receipt,
            study_id=StudyId(1),
            instance_id=InstanceId(len(self.received)),
            revision=1,
            file_key=received.file_key,
        )

    def on_commitment(self, report: CommitmentAnswer) -> bool:
        known = self.answer(report)
        if known:
            self.reports.append(report)
        return known

    def recorded_keys(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(keys) & {item.file_key for item in self.received}

    def instance_stored(self, called_ae: str, size_bytes: int, seconds: float) -> None:
        self.statuses.append(0)

    def instance_refused(self, status: int) -> None:
        self.statuses.append(status)

    def storage_failed(self) -> None:
        self.disk_failures += 1

    def committed(self, instances: int, seconds: float) -> None:
        self.groups.append(instances)

    def association_opened(self) -> None:
        self.open += 1

    def association_ended(self, outcome: str) -> None:
        self.ends.append(outcome)

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def parts(self, *, min_free_bytes: int = 0) -> ReceiveParts:
        """Return what an acceptor on this node's folder works with."""
        return ReceiveParts(
            files=InstanceFiles(self.folder, min_free_bytes=min_free_bytes),
            record=self.record,
            recorded_keys=self.recorded_keys,
            on_association=self.associations.append,
            metrics=self,
            clock=SystemClock(),
            slots=Slots(64, 32),
            on_commitment=self.on_commitment,
            on_refused=self.refused.extend,
        )


@contextmanager
def running_node(
    folder: Path,
    *,
    min_free_bytes: int = 0,
    congestion: Congestion | None = None,
    **options: object,
) -> Iterator[Node]:
    """Start an acceptor on a free port; every association is over afterwards."""
    node = Node(folder)
    settings = replace(ReceiveOptions(), **options)  # type: ignore[arg-type]  # any field, by its name
    parts = node.parts(min_free_bytes=min_free_bytes)
    slots = Slots(settings.max_associations, settings.max_associations_per_peer)
    parts = replace(parts, slots=slots, congestion=congestion or Congestion.never())
    acceptor = Acceptor(settings, parts)
    _, node.port = acceptor.start()
    try:
        yield node
    finally:
        acceptor.drain(0)


def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait for a condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        threading.Event().wait(0.01)


def dataset_bytes(path: Path) -> tuple[bytes, str]:
    """Return a Part 10 file's data set as it lies there, and its transfer syntax."""
    content = path.read_bytes()
    meta = read_file_meta_info(path)
    stream = BytesIO(content)
    stream.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
    return stream.read(), str(meta.TransferSyntaxUID)
