"""An archive with Storage Commitment that answers as a test wants, by pynetdicom."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from unittest.mock import patch

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # pynetdicom makes these names at import
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_node.deliver.choose import SR_CLASS_UIDS

Answer = Literal["same", "early", "never"]
# An archive that answers on the association may be slow on a busy machine.
_WAITS_FOR_AN_ANSWER = "dicom_node.deliver.commitment._SAME_ASSOCIATION_SECONDS"
Value = TypeVar("Value")


@dataclass(slots=True, kw_only=True)
class Habits:
    """How an archive behaves.

    Args:
        answers: whether each N-ACTION is answered, on the same association, after the
            response to it or "early", before that; the last one stays.
        failures: Failure Reason of each answer, None for a success; "half" names
            other objects only.
        action_statuses: of each N-ACTION.
        found: whether a C-FIND finds what is stored, by turn.
    """

    answers: Sequence[Answer] = ("same",)
    failures: Sequence[int | Literal["half"] | None] = (None,)
    action_statuses: Sequence[int] = (0x0000,)
    store_statuses: Sequence[int] = (0x0000,)
    found: Sequence[bool] = (True,)
    commits: bool = True
    queries: bool = True
    port: int = 0


@dataclass(slots=True, kw_only=True)
class Archive:
    """What it was sent and asked."""

    port: int = 0
    stored: list[str] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)
    reported: list[int] = field(default_factory=list)
    queried: list[Dataset] = field(default_factory=list)
    said: threading.Event = field(default_factory=threading.Event)

    @property
    def transactions(self) -> list[str]:
        return [str(item.TransactionUID) for item in self.asked]


def event_information(request: Dataset, failure: object) -> tuple[int, Dataset]:
    """Return the Event Type ID and Event Information of an answer (PS3.4 J.3.3)."""
    information = Dataset()
    information.TransactionUID = request.TransactionUID
    items = list(request.ReferencedSOPSequence)
    if failure is None:
        information.ReferencedSOPSequence = items
        return 1, information
    other = Dataset()
    other.ReferencedSOPClassUID = items[0].ReferencedSOPClassUID
    other.ReferencedSOPInstanceUID = "1.2.3.4.5"
    information.ReferencedSOPSequence = [other]
    if failure == "half":
        return 1, information
    for item in items:
        item.FailureReason = failure
    information.FailedSOPSequence = items
    return 2, information


def _turn(values: Sequence[Value], count: int) -> Value:
    return values[min(count, len(values)) - 1]


@contextmanager
def running_archive(habits: Habits) -> Iterator[Archive]:
    """Run it on a free port of loopback."""
    archive = Archive()

    def on_store(event: evt.Event) -> int:
        archive.stored.append(str(event.request.AffectedSOPInstanceUID))  # type: ignore[union-attr]  # a C-STORE-RQ
        return _turn(habits.store_statuses, len(archive.stored))

    def on_action(event: evt.Event) -> tuple[int, None]:
        archive.asked.append(event.action_information)
        if _turn(habits.answers, len(archive.asked)) == "early":
            failure = _turn(habits.failures, len(archive.asked))
            _report(archive, event.assoc, archive.asked[-1], failure)
        return _turn(habits.action_statuses, len(archive.asked)), None

    def after_action(event: evt.Event) -> None:
        """Report on the same association once the response has left."""
        if type(event.message).__name__ != "N_ACTION_RSP":
            return
        number = len(archive.asked)
        agreed = _turn(habits.action_statuses, number) == 0x0000
        if agreed and _turn(habits.answers, number) == "same":
            request, assoc = archive.asked[-1], event.assoc
            failure = _turn(habits.failures, number)
            threading.Thread(
                target=lambda: _report(archive, assoc, request, failure)
            ).start()

    def on_find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        identifier = event.identifier
        archive.queried.append(identifier)
        wanted = identifier.SOPInstanceUID
        if _turn(habits.found, len(archive.queried)) and wanted in archive.stored:
            yield 0xFF00, identifier

    entity = AE(ae_title="PACS")
    for uid in (*SR_CLASS_UIDS.values(), SecondaryCaptureImageStorage):
        entity.add_supported_context(uid)
    if habits.commits:
        entity.add_supported_context(StorageCommitmentPushModel)
    if habits.queries:
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, on_store),
        (evt.EVT_N_ACTION, on_action),
        (evt.EVT_DIMSE_SENT, after_action),
        (evt.EVT_C_FIND, on_find),
    ]
    server = entity.start_server(
        ("127.0.0.1", habits.port), block=False, evt_handlers=handlers
    )
    assert server is not None
    archive.port = server.server_address[1]
    seconds = 0.2 if "never" in habits.answers else 30.0
    try:
        with patch(_WAITS_FOR_AN_ANSWER, seconds):
            yield archive
    finally:
        server.shutdown()


def _report(
    archive: Archive, association: Association, request: Dataset, failure: object
) -> None:
    event_type, information = event_information(request, failure)
    status, _ = association.send_n_event_report(
        information,
        event_type,
        StorageCommitmentPushModel,
        StorageCommitmentPushModelInstance,
    )
    archive.reported.append(int(status.get("Status", -1)))
    archive.said.set()
