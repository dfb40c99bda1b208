"""Collect the fragments of DIMSE messages under limits (PS3.8 E.2)."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.core.errors import CannotUnderstand, OutOfResources, ReceiveError
from dicom_node.receive.transport import RingingQueue

_COMMAND: Final = 0x01
_LAST: Final = 0x02
_MAX_COMMAND_BYTES: Final = 64 * 1024
# A message may take the DIMSE timeout and, on top, its size at 64 kbit/s.
_SLOWEST_BYTES_PER_SECOND: Final = 8 * 1024

Refusal = Callable[[str, str], ReceiveError | None]


class Budget:
    """Bounds what all associations together hold in memory; safe for threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, size: int, *, held: int) -> bool:
        """Reserve bytes for a data set that holds `held` of them already.

        One alone may have more than the limit, else it could never come in.
        """
        with self._lock:
            if self._taken + size > self._limit and self._taken > held:
                return False
            self._taken += size
            return True

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._taken -= size


@dataclass(frozen=True, slots=True)
class Message:
    """A whole DIMSE message; with a refusal its data set was dropped.

    Args:
        held: bytes of the budget, given back when the message is answered.
    """

    primitive: Any
    refusal: ReceiveError | None
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """What one data set may take.

    Args:
        max_bytes: beyond it the association is aborted: its end may never come.
        refusal: says from (abstract syntax, Affected SOP Class UID) whether the data
            set is not worth keeping.
    """

    max_bytes: int
    budget: Budget
    refusal: Refusal


class BoundedDIMSE(DIMSEServiceProvider):
    """Collects messages; a fault in one ends its association and nothing else."""

    def __init__(
        self, association: Association, ring: Callable[[], None], limits: MessageLimits
    ) -> None:
        super().__init__(association)
        # Not `msg_queue`: that one holds bare primitives.
        self.messages: RingingQueue[tuple[int, Message]] = RingingQueue(ring)
        self._limits = limits
        self._size = 0
        self._held = 0
        self._refusal: ReceiveError | None = None
        self._started: float | None = None

    @property
    def idle(self) -> bool:
        """Whether no message is coming in or waits."""
        return self._started is None and self.messages.empty()

    def overdue(self) -> bool:
        """Say whether a message has been coming in for longer than its size excuses."""
        started, timeout = self._started, self.dimse_timeout
        if started is None or timeout is None:
            return False
        allowed = timeout + self._size / _SLOWEST_BYTES_PER_SECOND
        return bool(time.monotonic() - started > allowed)

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA-TF PDU.

        Whatever a fragment breaks is raised and becomes an A-ABORT in the state
        machine's guard.
        """
        for context_id, fragment in primitive.presentation_data_value_list:
            self._take(context_id, fragment)

    def release(self) -> None:
        """Give back what an unfinished message and the waiting ones hold."""
        self._limits.budget.give(self._held)
        self._held = 0
        while (waiting := self.next_message()) is not None:
            self._limits.budget.give(waiting[1].held)

    def next_message(self) -> tuple[int, Message] | None:
        """Take the next whole message and its context id, None if none waits."""
        try:
            return self.messages.get_nowait()
        except queue.Empty:
            return None

    def answered(self, message: Message) -> None:
        """Give back what an answered message held."""
        self._limits.budget.give(message.held)

    def _take(self, context_id: int, fragment: bytes) -> None:
        if not fragment:
            raise CannotUnderstand("a presentation data value is empty")
        if self.message is None:
            self.message = DIMSEMessage()
            self._started = time.monotonic()
        if fragment[0] & _COMMAND:
            if self.message.encoded_command_set.tell() > _MAX_COMMAND_BYTES:
                raise CannotUnderstand("a command set is longer than the limit")
        else:
            fragment = self._admit(context_id, fragment)
        single = P_DATA()
        # Lists, not the tuples of the annotation: the setter checks for them.
        single.presentation_data_value_list = [[context_id, fragment]]  # type: ignore[list-item]
        if self.message.decode_msg(single, self.assoc):
            self._finish()
        elif fragment[0] & (_COMMAND | _LAST) == _COMMAND | _LAST:
            self._refusal = self._early_refusal(context_id)

    def _early_refusal(self, context_id: int) -> ReceiveError | None:
        """Ask, once the command is there, whether the data set is worth keeping."""
        context = self.assoc._accepted_cx.get(context_id)
        if context is None or not isinstance(self.message, C_STORE_RQ):
            raise CannotUnderstand("a data set that nobody asked for")
        affected = str(self.message.command_set.get("AffectedSOPClassUID", ""))
        return self._limits.refusal(str(context.abstract_syntax), affected)

    def _admit(self, context_id: int, fragment: bytes) -> bytes:
        """Count a fragment of a data set; return it, or its header byte alone."""
        message = self.message
        if message is None or message.context_id != context_id:
            raise CannotUnderstand("a data set without its command")
        size = len(fragment) - 1
        self._size += size
        if self._size > self._limits.max_bytes:
            raise CannotUnderstand("a data set is longer than the limit")
        if self._refusal is None and not self._reserve(size):
            self._refusal = OutOfResources("the receive buffers are full")
            message.data_set = BytesIO()
            self._limits.budget.give(self._held)
            self._held = 0
        return fragment if self._refusal is None else fragment[:1]

    def _reserve(self, size: int) -> bool:
        taken = self._limits.budget.take(size, held=self._held)
        self._held += size if taken else 0
        return taken

    def _finish(self) -> None:
        message = self.message
        if message is None or message.context_id is None:
            raise CannotUnderstand("a message without a presentation context")
        primitive = message.message_to_primitive()
        item = Message(primitive, self._refusal, self._held)
        self.message, self._refusal, self._started = None, None, None
        self._size = self._held = 0
        self.messages.put((message.context_id, item))
