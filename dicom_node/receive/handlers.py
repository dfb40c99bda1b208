"""Answer one C-STORE-RQ: scan, file, row, and only then a status."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dicom_node.core.clock import Clock
from dicom_node.core.errors import (
    DatabaseError,
    DoesNotMatch,
    NodeError,
    OutOfResources,
    ReceiveError,
)
from dicom_node.core.ids import TransferSyntaxUID
from dicom_node.core.types import ReceivedInstance, Recorded
from dicom_node.receive.contexts import is_storage_class
from dicom_node.receive.part10 import file_head
from dicom_node.receive.scan import ScanLimits, ScannedDataset, scan

log = logging.getLogger("dicom_node.receive")

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122

OnInstance = Callable[[ReceivedInstance], Recorded]


class StoredFile(Protocol):
    """A file on stable storage."""

    @property
    def key(self) -> str:
        """Its name in the store."""

    @property
    def created(self) -> bool:
        """False if the same bytes were there before."""


class Files(Protocol):
    """Where received files go: the `InstanceStore` that takes parts."""

    def write(self, parts: Sequence[bytes]) -> StoredFile:
        """Keep the parts as one file on stable storage."""

    def delete(self, key: str) -> None:
        """Remove a file."""

    def require_space(self, size_bytes: int = 0) -> None:
        """Raise OutOfResources unless so much may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """A C-STORE-RQ as it came in.

    Args:
        refusal: set while the data set was still arriving; its bytes were dropped.
    """

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    abstract_syntax: str
    transfer_syntax_uid: str
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    dataset: bytes
    refusal: ReceiveError | None = None


class _NotOfThisContext(ReceiveError):
    """The SOP class is not what the presentation context was accepted for."""

    status = SOP_CLASS_NOT_SUPPORTED


class StoreHandler:
    """Receives instances; safe for threads.

    Args:
        on_instance: records an instance in one transaction. DatabaseError leaves the
            file for `reconcile`, because the commit may have happened.
    """

    def __init__(
        self, files: Files, on_instance: OnInstance, *, limits: ScanLimits, clock: Clock
    ) -> None:
        self._files = files
        self._on_instance = on_instance
        self._limits = limits
        self._clock = clock
        self._locks = tuple(threading.Lock() for _ in range(64))

    def refusal(self, abstract_syntax: str, affected: str) -> ReceiveError | None:
        """Say before the data set arrives why it cannot be taken."""
        try:
            _check_class(abstract_syntax, affected)
            self._files.require_space()
        except ReceiveError as error:
            return error
        return None

    def handle(self, request: StoreRequest) -> int:
        """Answer one C-STORE-RQ with a status; never raise.

        Success is sent only once the file is on disk and its row is committed.

        Source: PS3.4 B.2.3 (statuses), PS3.7 C.5.21 (Processing Failure).
        """
        started = time.monotonic()
        extra: dict[str, object] = {
            "ae": request.calling_ae_title,
            "sop_class": request.abstract_syntax,
            "transfer_syntax": request.transfer_syntax_uid,
            "size_bytes": len(request.dataset),
        }
        try:
            recorded = self._receive(request)
        except ReceiveError as error:
            extra |= {"reason": str(error), "status": f"0x{error.status:04X}"}
            log.warning("instance refused", extra=extra)
            return error.status
        except DatabaseError as error:
            extra |= {"reason": type(error).__name__, "status": "0xA700"}
            log.error("instance not recorded", extra=extra)
            return OutOfResources.status
        except Exception as error:  # noqa: BLE001 - process edge: a status, never a text
            extra |= {"reason": type(error).__name__, "status": "0x0110"}
            log.error("instance failed", extra=extra)
            return PROCESSING_FAILURE
        extra |= {
            "instance": recorded.instance_id,
            "receipt": str(recorded.receipt),
            "seconds": round(time.monotonic() - started, 4),
        }
        log.info("instance stored", extra=extra)
        return SUCCESS

    def _receive(self, request: StoreRequest) -> Recorded:
        if request.refusal is not None:
            raise request.refusal
        _check_class(request.abstract_syntax, request.affected_sop_class_uid)
        scanned = scan(request.dataset, request.transfer_syntax_uid, self._limits)
        _check_identity(request, scanned)
        # The same bytes at the same time on two associations have one file: whoever
        # fails must not remove it between the other's file and row.
        with self._locks[int(scanned.dataset_sha256[:2], 16) % len(self._locks)]:
            return self._keep(request, scanned)

    def _keep(self, request: StoreRequest, scanned: ScannedDataset) -> Recorded:
        """File first, then the row; what is not acknowledged does not stay."""
        head = file_head(
            scanned.sop_class_uid,
            scanned.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            source_ae_title=request.calling_ae_title,
        )
        file = self._files.write((head, request.dataset))
        try:
            recorded = self._on_instance(
                self._instance(request, scanned, file_key=file.key)
            )
        except ReceiveError:  # refused, so nothing was committed
            self._discard(file)
            raise
        if recorded.file_key not in ("", file.key):
            self._discard(file)  # these bytes are kept under another key
        return recorded

    def _discard(self, file: StoredFile) -> None:
        if not file.created:
            return
        try:
            self._files.delete(file.key)
        except (NodeError, OSError) as error:
            # It has no row, so `reconcile` deals with it at the next start.
            log.warning("file not removed", extra={"reason": type(error).__name__})

    def _instance(
        self, request: StoreRequest, scanned: ScannedDataset, *, file_key: str
    ) -> ReceivedInstance:
        return ReceivedInstance(
            sop_class_uid=scanned.sop_class_uid,
            sop_instance_uid=scanned.sop_instance_uid,
            study_instance_uid=scanned.study_instance_uid,
            series_instance_uid=scanned.series_instance_uid,
            transfer_syntax_uid=TransferSyntaxUID(request.transfer_syntax_uid),
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            peer_address=request.peer_address,
            received_at=self._clock.now(),
            file_key=file_key,
            size_bytes=len(request.dataset),
            dataset_sha256=scanned.dataset_sha256,
            pixel_sha256=scanned.pixel_sha256,
            header=scanned.header,
        )


def _check_class(abstract_syntax: str, affected: str) -> None:
    if abstract_syntax != affected or not is_storage_class(abstract_syntax):
        raise _NotOfThisContext("SOP class is not that of the presentation context")


def _check_identity(request: StoreRequest, scanned: ScannedDataset) -> None:
    if request.affected_sop_class_uid != scanned.sop_class_uid:
        raise DoesNotMatch("Affected SOP Class UID differs from the data set")
    if request.affected_sop_instance_uid != scanned.sop_instance_uid:
        raise DoesNotMatch("Affected SOP Instance UID differs from the data set")
