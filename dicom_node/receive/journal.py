"""Tell what came of an association: to the log and to whoever keeps records."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from dicom_node.core.errors import DatabaseError
from dicom_node.core.types import AssociationRecord

log = logging.getLogger("dicom_node.receive")

_MAX_WAITING = 2048
# A record that a working database does not take so often is never taken.
_TRIES = 3


def tell(
    record: AssociationRecord, on_association: Callable[[AssociationRecord], None]
) -> None:
    """Log an association that is over, with all that was refused, and hand it on."""
    _tell_contexts(record)
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


def _tell_contexts(record: AssociationRecord) -> None:
    """Log the refused presentation contexts in one line: an offer may have 128."""
    refused = record.refused_contexts
    if not refused or not record.accepted:  # a rejection has refused them all
        return
    syntaxes = (uid for context in refused for uid in context.transfer_syntax_uids)
    log.warning(
        "presentation contexts refused",
        extra={
            "ae": record.calling_ae_title,
            "peer": record.peer_address,
            "contexts": len(refused),
            "sop_class": _distinct(context.sop_class_uid for context in refused),
            "transfer_syntax": _distinct(syntaxes),
            "reason": _distinct(context.reason for context in refused),
        },
    )


def _distinct(texts: Iterable[str]) -> str:
    return ",".join(dict.fromkeys(texts))


class Journal:
    """Records associations one after another, on a thread of its own.

    Hundreds of callers that are turned away must not queue for the database in front
    of the instances of those who were let in. While the database is down the records
    wait for it, as far as there is room.

    Args:
        await_database: waits until it is worth to try again; False to give up.
    """

    def __init__(
        self,
        on_association: Callable[[AssociationRecord], None],
        await_database: Callable[[threading.Event], bool],
    ) -> None:
        self._on_association = on_association
        self._await_database = await_database
        self._closing = threading.Event()
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
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                self._keep(record)
            except Exception as error:  # noqa: BLE001 - receiving must go on
                extra = {"reason": type(error).__name__}
                log.error("association not recorded", extra=extra)

    def _keep(self, record: AssociationRecord) -> None:
        for _ in range(_TRIES):
            try:
                self._on_association(record)
            except DatabaseError:
                if not self._await_database(self._closing):
                    raise
            else:
                return
        raise DatabaseError("an association cannot be recorded")


def bounded_ae_title(value: Any) -> str:
    """Bound what a peer calls itself: it goes into logs and the database."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c for c in text if " " <= c <= "~")[:16].strip()
