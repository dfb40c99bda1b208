"""Tell what came of an association: to the log and to whoever keeps records."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dicom_node.core.errors import DatabaseError
from dicom_node.core.refusal import RefusedInstance
from dicom_node.core.types import AssociationRecord

log = logging.getLogger("dicom_node.receive")

_MAX_WAITING = 2048
# A record that a working database does not take so often is never taken.
_TRIES = 3
_AT_ONCE = 256


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
        log.warning("association rejected", extra=extra | _offered(record))
    on_association(record)


def _tell_contexts(record: AssociationRecord) -> None:
    """Log the refused presentation contexts in one line: an offer may have 128."""
    refused = record.refused_contexts
    if not refused or not record.accepted:  # a rejection has refused them all
        return
    log.warning(
        "presentation contexts refused",
        extra={
            "ae": record.calling_ae_title,
            "peer": record.peer_address,
            "reason": _distinct(context.reason for context in refused),
            **_offered(record),
        },
    )


def _offered(record: AssociationRecord) -> dict[str, object]:
    """Say what was offered and refused; of a rejection that is everything."""
    refused = record.refused_contexts
    syntaxes = (uid for context in refused for uid in context.transfer_syntax_uids)
    return {
        "contexts": len(refused),
        "sop_class": _distinct(context.sop_class_uid for context in refused),
        "transfer_syntax": _distinct(syntaxes),
    }


def _distinct(texts: Iterable[str]) -> str:
    return ",".join(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalTo:
    """What keeps the records.

    Args:
        refused: takes those that wait together: a flood must not lock the database
            once for each.
    """

    association: Callable[[AssociationRecord], None]
    refused: Callable[[Sequence[RefusedInstance]], None]


class Journal:
    """Records associations and refused instances one by one, on a thread of its own.

    Hundreds of callers that are turned away must not queue for the database in front
    of the instances of those who were let in. While the database is down the records
    wait for it, as far as there is room.

    Args:
        await_database: waits until it is worth to try again; False to give up.
    """

    def __init__(
        self,
        keep: JournalTo,
        await_database: Callable[[threading.Event], bool],
    ) -> None:
        self._to = keep
        self._await_database = await_database
        self._closing = threading.Event()
        self._waiting: queue.Queue[AssociationRecord | RefusedInstance | None]
        self._waiting = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(
            target=self._run, name="receive-journal", daemon=True
        )
        self._thread.start()

    def put(self, record: AssociationRecord | RefusedInstance) -> None:
        """Let a record be kept; beyond the limit it is only in the log."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            _tell_lost(record, "too many wait")

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(seconds)

    def _run(self) -> None:
        for record in self._records():
            try:
                self._keep(record)
            except Exception as error:  # noqa: BLE001 - receiving must go on
                _tell_lost(record, type(error).__name__)

    def _records(self) -> Iterator[AssociationRecord | list[RefusedInstance]]:
        """Yield what waits; refusals that stand one behind another come together."""
        refused: list[RefusedInstance] = []
        while True:
            try:
                record = self._waiting.get(block=not refused)
            except queue.Empty:
                yield refused
                refused = []
                continue
            if isinstance(record, RefusedInstance) and len(refused) < _AT_ONCE:
                refused.append(record)
                continue
            if refused:
                yield refused
                refused = []
            if record is None:
                return
            if isinstance(record, RefusedInstance):
                refused.append(record)
            else:
                yield record

    def _keep(self, record: AssociationRecord | list[RefusedInstance]) -> None:
        for _ in range(_TRIES):
            try:
                if isinstance(record, AssociationRecord):
                    self._to.association(record)
                else:
                    self._to.refused(record)
            except DatabaseError:
                if not self._await_database(self._closing):
                    raise
            else:
                return
        raise DatabaseError("an association or a refusal cannot be recorded")


def _tell_lost(record: object, reason: str) -> None:
    if isinstance(record, AssociationRecord):
        log.error("association not recorded", extra={"reason": reason})
    else:
        log.error("refusal not recorded", extra={"reason": reason})


def bounded_ae_title(value: Any) -> str:
    """Bound what a peer calls itself: it goes into logs and the database."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c for c in text if " " <= c <= "~")[:16].strip()
