"""Storage Commitment Push Model as SCU.

Source: PS3.4 J.3, PS3.7 10.1.1 (N-EVENT-REPORT) and 10.1.4 (N-ACTION).
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # pynetdicom makes these names at import
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from dicom_node.core.errors import DeliveryError, NodeError
from dicom_node.core.proof import CommitmentAnswer, NotAsked, NotOffered
from dicom_node.core.types import Report
from dicom_node.deliver.association import Link, NothingAccepted, associate
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.status import SUCCESS

_SYNTAXES: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_REQUEST: Final = 1  # Action Type ID (PS3.4 J.3.2.1)
_COMPLETE: Final = 1  # Event Type IDs (PS3.4 J.3.3.1): all are committed,
_FAILURES: Final = 2  # not all are
# Most SCPs answer at once or within minutes: nobody waits on the association for long.
_SAME_ASSOCIATION_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1
# Statuses of an N-ACTION and of an N-EVENT-REPORT (PS3.7 C).
_PROCESSING_FAILURE: Final = 0x0110
_NO_SUCH_EVENT_TYPE: Final = 0x0113
_INVALID_ARGUMENT_VALUE: Final = 0x0115
_MAY_BE_ASKED_AGAIN: Final = {0x0110, 0x0213}


def commitment_context() -> PresentationContext:
    """Return the presentation context to propose."""
    return build_context(StorageCommitmentPushModel, list(_SYNTAXES))


def request_commitment(
    peer: Peer,
    report: Report,
    transaction_uid: str,
    *,
    on_answer: Callable[[CommitmentAnswer], bool],
    answered: Callable[[], bool],
) -> None:
    """Ask for the commitment of one object; wait a moment for an answer.

    Raises:
        NotOffered, NotAsked: the peer knows nothing of the transaction.
        DeliveryError: it was asked and gave no response: it may answer all the same.
    """
    heard = threading.Event()

    def on_report(event: evt.Event) -> tuple[int, None]:
        status = _record(event, on_answer)
        if status == SUCCESS:
            heard.set()
        return status, None

    asked = False
    try:
        with associate(
            peer,
            [commitment_context()],
            handlers=[(evt.EVT_N_EVENT_REPORT, on_report)],
        ) as link:
            asked = True
            _ask(link, peer, _request(report, transaction_uid))
            end = time.monotonic() + _SAME_ASSOCIATION_SECONDS
            while link.alive and not answered() and time.monotonic() < end:
                heard.wait(_LOOK_SECONDS)
    except NothingAccepted:
        raise NotOffered(
            f"{peer} offers no Storage Commitment: enable it there, or change "
            f"{peer.setting('commitment')}"
        ) from None
    except DeliveryError as error:
        if asked:
            raise
        raise NotAsked(str(error), status=error.status) from None


def _request(report: Report, transaction_uid: str) -> Dataset:
    """Return the Action Information (PS3.4 table J.3-1)."""
    item = Dataset()
    item.ReferencedSOPClassUID = str(report.sop_class_uid)
    item.ReferencedSOPInstanceUID = str(report.sop_instance_uid)
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [item]
    return request


def _ask(link: Link, peer: Peer, request: Dataset) -> None:
    def send() -> Dataset:
        response, _ = link.association.send_n_action(
            request,
            _REQUEST,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        return response

    status = link.ask(send, "N-ACTION", limit=peer.timeout_seconds)
    # 0107 and 0116 are warnings: it was done.
    if status == SUCCESS or status in (0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return
    text = f"{peer} refuses the storage commitment with status 0x{status:04X}: see "
    if status in _MAY_BE_ASKED_AGAIN:
        raise NotAsked(f"{text}its log", status=status)
    raise NotOffered(
        f"{text}its log, or change {peer.setting('commitment')}", status=status
    )


def _record(event: evt.Event, on_answer: Callable[[CommitmentAnswer], bool]) -> int:
    """Record an N-EVENT-REPORT and return its status; never raise.

    pynetdicom would log an exception with its text.
    """
    try:
        if event.event_type not in (_COMPLETE, _FAILURES):
            return _NO_SUCH_EVENT_TYPE
        answer = read_answer(event.event_information)
    except Exception:  # noqa: BLE001 - anything can be in a data set
        return _INVALID_ARGUMENT_VALUE
    try:
        return SUCCESS if on_answer(answer) else _INVALID_ARGUMENT_VALUE
    except NodeError:
        return _PROCESSING_FAILURE


def read_answer(information: Dataset) -> CommitmentAnswer:
    """Read the Event Information (PS3.4 table J.3-2).

    Raises:
        ValueError, AttributeError: it names no Transaction UID, or an item no object.
    """
    failed = {
        _uid(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0x0110)
        for item in information.get("FailedSOPSequence") or ()
    }
    committed = frozenset(
        _uid(item.ReferencedSOPInstanceUID)
        for item in information.get("ReferencedSOPSequence") or ()
    )
    return CommitmentAnswer(
        transaction_uid=_uid(information.TransactionUID),
        committed=committed - failed.keys(),
        failed=failed,
    )


def _uid(value: object) -> str:
    text = str(value or "").strip()
    if not text:
        raise ValueError("a UID is empty")
    return text
