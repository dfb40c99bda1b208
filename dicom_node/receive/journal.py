"""Tell what came of an association: to the log and to whoever keeps records."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from dicom_node.core.types import AssociationRecord

log = logging.getLogger("dicom_node.receive")

_MAX_WAITING = 2048


def tell(
    record: AssociationRecord, on_association: Callable[[AssociationRecord], None]
) -> None:
    """Log an association that is over, with all that was refused, and hand it on."""
    for context in record.refused_contexts:
        log.warning(
            "presentation context refused",
            extra={
                "ae": record.calling_ae_title,
                "peer": record.peer_address,
                "sop_class": context.sop_class_uid,
                "transfer_syntax": ",".join(context.transfer_syntax_uids),
                "reason": context.reason,
            },
        )
    extra: dict[str, object] = {
        "ae": record.calling_ae_title,
        "called_ae": record.called_ae_title,
        "peer": record.peer_address,
        "reason": record.reason,
        "instances": record.instances,
        "refused": record.refused_instances,
        "size_bytes": record.size_bytes,
        "seconds": record.seconds,
    }
    if record.accepted:
        log.info("association ended", extra=extra)
    else:
        log.warning("association rejected", extra=extra)
    on_association(record)


class Journal:
    """Records associations one after another, on a thread of its own.

    Hundreds of callers that are turned away must not queue for the database in front
    of the instances of those who were let in.
    """

    def __init__(self, on_association: Callable[[AssociationRecord], None]) -> None:
        self._on_association = on_association
        self._waiting: queue.Queue[AssociationRecord | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(
            target=self._run, name="receive-journal", daemon=True
        )
        self._thread.start()

    def put(self, record: AssociationRecord) -> None:
        """Let a record be kept; beyond the limit it is only in the log."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            log.warning("association not recorded", extra={"reason": "too many wait"})

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                self._on_association(record)
            except Exception as error:  # noqa: BLE001 - receiving must go on
                extra = {"reason": type(error).__name__}
                log.error("association not recorded", extra=extra)


def bounded_ae_title(value: Any) -> str:
    """Bound what a peer calls itself: it goes into logs and the database."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c for c in text if " " <= c <= "~")[:16].strip()
