"""A running acceptor whose database is a list."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from dicom_node.core.clock import SystemClock
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.states import Receipt
from dicom_node.core.types import AssociationRecord, ReceivedInstance, Recorded
from dicom_node.receive.acceptor import Acceptor, ReceiveOptions
from dicom_node.store.files import FileStore


@dataclass
class Node:
    """What a test sees of the node."""

    folder: Path
    port: int = 0
    received: list[ReceivedInstance] = field(default_factory=list)
    associations: list[AssociationRecord] = field(default_factory=list)
    fault: Callable[[ReceivedInstance], None] | None = None

    def on_instance(self, received: ReceivedInstance) -> Recorded:
        if self.fault is not None:
            self.fault(received)
        self.received.append(received)
        return Recorded(
            receipt=Receipt.NEW,
            study_id=StudyId(1),
            instance_id=InstanceId(len(self.received)),
            revision=1,
            file_key=received.file_key,
        )

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


@contextmanager
def running_node(folder: Path, **options: object) -> Iterator[Node]:
    """Start an acceptor on a free port; every association is over afterwards."""
    node = Node(folder)
    settings = replace(ReceiveOptions(), **options)  # type: ignore[arg-type]
    acceptor = Acceptor(
        settings,
        on_instance=node.on_instance,
        store=FileStore(folder),
        on_association=node.associations.append,
        clock=SystemClock(),
    )
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
