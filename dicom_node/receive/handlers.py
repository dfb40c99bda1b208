"""Answer one C-STORE-RQ: scan, file, row, and only then a status."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from dicom_node.core.clock import Clock
from dicom_node.core.errors import (
    CannotUnderstand,
    DatabaseError,
    DiskFailed,
    DoesNotMatch,
    OutOfResources,
    ReceiveError,
)
from dicom_node.core.ids import TransferSyntaxUID
from dicom_node.core.refusal import TOLD_PER_ASSOCIATION, RefusedInstance
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance, Recorded
from dicom_node.part10.head import file_head
from dicom_node.receive.commit import GroupCommitter
from dicom_node.receive.contexts import is_storage_class
from dicom_node.receive.faults import pass_point
from dicom_node.receive.incoming import Files, Incoming
from dicom_node.receive.refusals import describe_refused
from dicom_node.receive.scan import (
    DatasetView,
    ScanLimits,
    ScannedDataset,
    is_uid,
    scan,
)

log = logging.getLogger("dicom_node.receive")

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122


class Counts(Protocol):
    """Counts what came in; every call is cheap."""

    def instance_stored(self, called_ae: str, size_bytes: int, seconds: float) -> None:
        """Count an instance that was acknowledged."""

    def instance_refused(self, status: int) -> None:
        """Count an instance that was not."""

    def storage_failed(self) -> None:
        """Note that the disk did not take an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends, over one association."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """A C-STORE-RQ on its presentation context.

    Args:
        refused_before: how many instances of the association were refused before it.
    """

    sender: Sender
    abstract_syntax: str
    transfer_syntax_uid: str
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    refused_before: int = 0


class _NotOfThisContext(ReceiveError):
    """The SOP class is not what the presentation context was accepted for."""

    status = SOP_CLASS_NOT_SUPPORTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """Who is told what came of an instance.

    Args:
        on_refused: must not wait.
        on_arriving: told of a data set that takes its time; must not wait.
    """

    counts: Counts
    on_refused: Callable[[RefusedInstance], None]
    on_arriving: Callable[[Incoming, str], None]


class StoreHandler:
    """Receives instances; safe for threads."""

    def __init__(
        self,
        files: Files,
        committer: GroupCommitter,
        *,
        limits: ScanLimits,
        clock: Clock,
        told: Witnesses,
    ) -> None:
        self._files = files
        self._committer = committer
        self._limits = limits
        self._clock = clock
        self._counts, self._on_refused = told.counts, told.on_refused
        self._on_arriving = told.on_arriving

    def begin(self, request: StoreRequest) -> Incoming:
        """Open the way of a data set; one that cannot be taken has its refusal."""
        refusal = _refusal(request)
        head = b"" if refusal else _head(request)
        incoming = Incoming(self._files, head, refusal=refusal)
        self._committer.expect(1)
        return incoming

    def still_arriving(self, request: StoreRequest, incoming: Incoming) -> None:
        """Tell that a data set takes its time, and bytes of it came."""
        if incoming.refusal is None:
            self._on_arriving(incoming, request.transfer_syntax_uid)

    def end(self, incoming: Incoming) -> None:
        """Close the way of a data set that does not come to its end."""
        incoming.discard()
        self._committer.expect(-1)

    def refuse(self, request: StoreRequest, incoming: Incoming) -> int:
        """Return the status of a data set that was refused on its way."""
        return self._status_of(
            request, incoming, incoming.refusal or OutOfResources("refused")
        )

    def finish(self, request: StoreRequest, incoming: Incoming) -> int:
        """Answer a C-STORE-RQ whose data set is here with a status; never raise.

        Success is sent only once the file is on disk and its row is committed.

        Source: PS3.4 B.2.3 (statuses), PS3.7 C.5.21 (Processing Failure).
        """
        started = time.monotonic()
        try:
            try:
                instance = self._examine(request, incoming)
            finally:
                self._committer.expect(-1)
            recorded = self._committer.commit(incoming.part, instance)
        except Exception as error:  # noqa: BLE001 - process edge: a status, never a text
            incoming.discard()
            return self._status_of(request, incoming, error)
        seconds = time.monotonic() - started
        self._counts.instance_stored(
            request.sender.called_ae_title, incoming.size_bytes, seconds
        )
        _log_stored(request, incoming, recorded, seconds=seconds)
        return SUCCESS

    def _examine(self, request: StoreRequest, incoming: Incoming) -> ReceivedInstance:
        incoming.flush()
        pass_point("after-write")
        if incoming.refusal is not None:
            raise incoming.refusal
        scanned = scan(
            DatasetView(
                head=incoming.head,
                size_bytes=incoming.size_bytes,
                whole=incoming.mapped,
            ),
            request.transfer_syntax_uid,
            self._limits,
        )
        _check_identity(request, scanned)
        return ReceivedInstance(
            sop_class_uid=scanned.sop_class_uid,
            sop_instance_uid=scanned.sop_instance_uid,
            study_instance_uid=scanned.study_instance_uid,
            series_instance_uid=scanned.series_instance_uid,
            transfer_syntax_uid=TransferSyntaxUID(request.transfer_syntax_uid),
            calling_ae_title=request.sender.calling_ae_title,
            called_ae_title=request.sender.called_ae_title,
            peer_address=request.sender.peer_address,
            received_at=self._clock.now(),
            file_key=incoming.new_key(),
            size_bytes=incoming.size_bytes,
            dataset_digest=incoming.digest,
            header=scanned.header,
        )

    def _status_of(
        self, request: StoreRequest, incoming: Incoming, error: Exception
    ) -> int:
        """Log why there is no success, and return the status that says so."""
        tell: Callable[..., None] = log.error
        if isinstance(error, ReceiveError):
            status, reason, text, tell = (
                error.status,
                str(error),
                "instance refused",
                log.warning,
            )
        elif isinstance(error, DatabaseError):
            status, reason = OutOfResources.status, str(error)
            text = "instance not recorded"
        else:
            status, reason = PROCESSING_FAILURE, type(error).__name__
            text = "instance failed"
        tell(
            text,
            extra=_extra(request, incoming)
            | {"reason": reason, "status": f"0x{status:04X}"},
        )
        self._counts.instance_refused(status)
        if isinstance(error, DiskFailed):
            self._counts.storage_failed()
        if request.refused_before < TOLD_PER_ASSOCIATION:
            self._tell_refused(request, incoming, status, reason)
        return status

    def _tell_refused(
        self, request: StoreRequest, incoming: Incoming, status: int, reason: str
    ) -> None:
        try:
            self._on_refused(
                describe_refused(
                    request,
                    incoming,
                    status=status,
                    reason=reason,
                    at=self._clock.now(),
                )
            )
        except Exception as error:  # noqa: BLE001 - a record must not cost the answer
            log.error("refusal not recorded", extra={"reason": type(error).__name__})


def _log_stored(
    request: StoreRequest, incoming: Incoming, recorded: Recorded, *, seconds: float
) -> None:
    """Log a conflict always: its sender heard 0x0000, and nothing will come of it."""
    level, event = logging.DEBUG, "instance stored"
    if recorded.receipt is Receipt.CONFLICT:
        level, event = logging.WARNING, "instance kept as a conflict"
    if log.isEnabledFor(level):
        log.log(
            level,
            event,
            extra=_extra(request, incoming)
            | {
                "instance": recorded.instance_id,
                "receipt": str(recorded.receipt),
                "seconds": round(seconds, 4),
            },
        )


def _extra(request: StoreRequest, incoming: Incoming) -> dict[str, object]:
    return {
        "ae": request.sender.calling_ae_title,
        "sop_class": request.abstract_syntax,
        "transfer_syntax": request.transfer_syntax_uid,
        "size_bytes": incoming.size_bytes,
    }


def _head(request: StoreRequest) -> bytes:
    return file_head(
        request.affected_sop_class_uid,
        request.affected_sop_instance_uid,
        transfer_syntax_uid=request.transfer_syntax_uid,
        source_ae_title=request.sender.calling_ae_title,
    )


def _refusal(request: StoreRequest) -> ReceiveError | None:
    """Say before the data set arrives why it cannot be taken."""
    affected = request.affected_sop_class_uid
    if request.abstract_syntax != affected or not is_storage_class(affected):
        return _NotOfThisContext("SOP class is not that of the presentation context")
    if not is_uid(request.affected_sop_instance_uid):
        return CannotUnderstand("Affected SOP Instance UID is not a UID")
    return None


def _check_identity(request: StoreRequest, scanned: ScannedDataset) -> None:
    if scanned.sop_class_uid != request.affected_sop_class_uid:
        raise DoesNotMatch("Affected SOP Class UID differs from the data set")
    if scanned.sop_instance_uid != request.affected_sop_instance_uid:
        raise DoesNotMatch("Affected SOP Instance UID differs from the data set")
