"""A PACS made of pynetdicom that keeps what it gets, and can refuse or go away."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    VerificationPresentationContexts,
)
from pynetdicom.transport import ThreadedAssociationServer

from tests.peers import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One C-STORE that the PACS took."""

    sop_instance_uid: str
    study_instance_uid: str
    sha256: str
    dataset: Dataset


@dataclass(slots=True)
class StandInPacs:
    """Takes everything and remembers every arrival, repeats included."""

    address: Address
    arrivals: list[Received] = field(default_factory=list)
    status: int = 0x0000
    refusals: int = 0
    _server: ThreadedAssociationServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Listen."""
        entity = AE(ae_title=self.address.ae_title)
        entity.supported_contexts = [
            *AllStoragePresentationContexts,
            *VerificationPresentationContexts,
        ]
        server = entity.start_server(
            (self.address.host, self.address.port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store)],
        )
        if not isinstance(server, ThreadedAssociationServer):
            raise TypeError("pynetdicom started no threaded server")
        self._server = server

    def stop(self) -> None:
        """Go away, as a PACS does at the worst moment."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def of_study(self, study_instance_uid: str) -> list[Received]:
        """Return the arrivals of one study, in order."""
        with self._lock:
            return [
                item
                for item in self.arrivals
                if item.study_instance_uid == study_instance_uid
            ]

    def _on_store(self, event: evt.Event) -> int:
        if self.status != 0x0000:
            self.refusals += 1
            return self.status
        dataset = event.dataset
        item = Received(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            study_instance_uid=str(dataset.StudyInstanceUID),
            sha256=hashlib.sha256(
                event.encoded_dataset(include_meta=False)
            ).hexdigest(),
            dataset=dataset,
        )
        with self._lock:
            self.arrivals.append(item)
        return 0x0000


@contextmanager
def running_pacs(address: Address) -> Iterator[StandInPacs]:
    """Run a stand-in PACS for the length of a with statement."""
    pacs = StandInPacs(address=address)
    pacs.start()
    try:
        yield pacs
    finally:
        pacs.stop()
