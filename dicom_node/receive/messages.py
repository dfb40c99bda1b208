"""Turn the fragments of an association into requests, and answer them (PS3.8 E.2)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dicom_node.core.errors import CannotUnderstand, OutOfResources
from dicom_node.receive.arriving import ARRIVING_SECONDS
from dicom_node.receive.command import (
    C_ECHO_RQ,
    C_STORE_RQ,
    FRAGMENT_OVERHEAD,
    MAX_COMMAND_BYTES,
    N_EVENT_REPORT_RQ,
    Command,
    Requests,
    answer,
    read_uid,
)
from dicom_node.receive.contexts import STORAGE_COMMITMENT, VERIFICATION
from dicom_node.receive.events import (
    MAX_EVENT_BYTES,
    RESOURCE_LIMITATION,
    EventHandler,
    EventRequest,
)
from dicom_node.receive.faults import pass_point
from dicom_node.receive.handlers import (
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    Sender,
    StoreHandler,
    StoreRequest,
)
from dicom_node.receive.incoming import Incoming
from dicom_node.receive.negotiate import ABORT_BY_NODE, Context
from dicom_node.receive.stream import Broken


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """What a sender may take.

    Args:
        max_bytes: of a data set.
        idle_seconds: without a byte of the peer.
        message_seconds: what a message may take, whatever its size.
        min_bytes_per_second: what it may take on top of that, by its size so far.
    """

    max_bytes: int
    idle_seconds: float
    message_seconds: float
    min_bytes_per_second: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """The association that messages come over.

    Args:
        max_pdu_bytes: what the peer takes.
    """

    send: Callable[[bytes], None]
    contexts: Mapping[int, Context]
    max_pdu_bytes: int
    sender: Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """What requests are answered by.

    Args:
        events: of Storage Commitment; None if its context is never accepted.
    """

    store: StoreHandler
    events: EventHandler | None = None


class Messages:
    """Takes fragments from the reader; answers on the channel."""

    def __init__(
        self, channel: Channel, handlers: Handlers, limits: MessageLimits
    ) -> None:
        self._channel = channel
        self._store = handlers.store
        self._events = handlers.events
        self._limits = limits
        self._max_bytes = limits.max_bytes
        self._requests = Requests()
        self._encoded = bytearray()
        self._command_bytes = 0
        self._context_id = 0
        self._command: Command | None = None
        self._request: StoreRequest | None = None
        self._incoming: Incoming | None = None
        self._event: bytearray | None = None
        self._answered = False
        self._begun = False
        self._since = self._heard = self._told = time.monotonic()
        self._taken = 0
        self.stored = 0
        self.refused = 0
        self.size_bytes = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of a message is here."""
        return self._command is None and not self._begun

    def command(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        """Take a fragment of a command set."""
        if self._command is not None:
            raise Broken("a command before the data set of the last one")
        if not self._begun:
            self._begun = True
            self._context_id = context_id
            self._since, self._taken = time.monotonic(), 0
            self._command_bytes = 0
        elif context_id != self._context_id:
            raise Broken("a command set on two presentation contexts")
        # Counted with its headers: empty fragments would never come to an end.
        self._command_bytes += FRAGMENT_OVERHEAD + len(fragment)
        if self._command_bytes > MAX_COMMAND_BYTES:
            raise Broken("a command set is longer than the limit")
        self._encoded += fragment
        if last:
            self._begin()

    def data(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        """Take a fragment of a data set; good until `flush`."""
        incoming = self._incoming
        if incoming is None or context_id != self._context_id:
            return self._event_data(context_id, fragment, last=last)
        incoming.add(fragment)
        self._taken = size_bytes = incoming.size_bytes
        if size_bytes > self._max_bytes:
            incoming.refuse(OutOfResources("a data set is longer than the limit"))
            self._refuse_early(incoming)
            raise Broken("a data set is longer than the limit", ABORT_BY_NODE)
        if last:
            self._finish(incoming)
        elif incoming.refusal is not None:
            self._refuse_early(incoming)
        return None

    def flush(self) -> None:
        """Let go of every fragment."""
        incoming = self._incoming
        if incoming is not None:
            incoming.flush()
            if incoming.refusal is not None:
                self._refuse_early(incoming)

    def check_time(self, now: float, *, heard: bool) -> None:
        """Raise Broken if the peer says nothing, or a message takes too long."""
        limits, spent = self._limits, now - self._since
        if heard:
            self._heard = now
        elif now - max(self._heard, self._since) > limits.idle_seconds:
            raise Broken("nothing came for network_timeout_seconds", ABORT_BY_NODE)
        if self.idle:
            return
        allowed = limits.message_seconds + self._taken / limits.min_bytes_per_second
        if spent > allowed:
            raise Broken("the sender is slower than the limit", ABORT_BY_NODE)
        if heard and now - max(self._since, self._told) >= ARRIVING_SECONDS:
            self._told = now
            self._tell_arriving()

    def _tell_arriving(self) -> None:
        if self._incoming is not None and self._request is not None:
            self._store.still_arriving(self._request, self._incoming)

    def close(self) -> None:
        """Forget an unfinished message."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._store.end(incoming)

    def _begin(self) -> None:
        """Look at a whole command set."""
        self._begun = False
        context = self._channel.contexts.get(self._context_id)
        try:
            command = self._command = self._requests.read(bytes(self._encoded))
        except CannotUnderstand as error:
            raise Broken(str(error)) from None
        finally:
            self._encoded.clear()
        if context is None:
            raise Broken("a message on a presentation context that is not accepted")
        if command.field == C_STORE_RQ:
            self._begin_store(command, context)
        elif command.field == C_ECHO_RQ and not command.has_data_set:
            known = context.abstract_syntax == VERIFICATION
            self._respond(SUCCESS if known else SOP_CLASS_NOT_SUPPORTED)
        elif (
            command.field == N_EVENT_REPORT_RQ
            and context.abstract_syntax == STORAGE_COMMITMENT
        ):
            self._event = bytearray()
            if not command.has_data_set:
                self._finish_event(self._event)
        else:
            raise Broken("a request that this node does not serve", ABORT_BY_NODE)

    def _event_data(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        """Take a fragment of the data set of an N-EVENT-REPORT."""
        event = self._event
        if event is None or context_id != self._context_id:
            raise Broken("a data set without its command")
        self._taken += len(fragment)
        if len(event) + len(fragment) > MAX_EVENT_BYTES:
            self._respond(RESOURCE_LIMITATION)
            raise Broken("an event report is longer than the limit", ABORT_BY_NODE)
        event += fragment
        if last:
            self._finish_event(event)

    def _finish_event(self, encoded: bytearray) -> None:
        command, self._event = self._command, None
        context = self._channel.contexts[self._context_id]
        if command is None or self._events is None:
            raise Broken("a request that this node does not serve", ABORT_BY_NODE)
        request = EventRequest(
            calling_ae_title=self._channel.sender.calling_ae_title,
            abstract_syntax=context.abstract_syntax,
            transfer_syntax_uid=context.transfer_syntax_uid,
            affected_sop_class_uid=read_uid(command.sop_class_uid),
            affected_sop_instance_uid=read_uid(command.sop_instance_uid),
            event_type=command.event_type,
        )
        self._respond(self._events.finish(request, bytes(encoded)))

    def _begin_store(self, command: Command, context: Context) -> None:
        self._request = StoreRequest(
            sender=self._channel.sender,
            abstract_syntax=context.abstract_syntax,
            transfer_syntax_uid=context.transfer_syntax_uid,
            affected_sop_class_uid=read_uid(command.sop_class_uid),
            affected_sop_instance_uid=read_uid(command.sop_instance_uid),
            refused_before=self.refused,
        )
        incoming = self._incoming = self._store.begin(self._request)
        self._answered = False
        if not command.has_data_set:
            incoming.refuse(CannotUnderstand("there is no data set"))
            self._refuse_early(incoming)
            self._close_message(incoming)

    def _refuse_early(self, incoming: Incoming) -> None:
        """Answer a data set that cannot be taken before it is read to its end."""
        if self._answered or self._request is None:
            return
        self._answered = True
        self.refused += 1
        self._respond(self._store.refuse(self._request, incoming), done=False)

    def _finish(self, incoming: Incoming) -> None:
        pass_point("after-recv")
        self.size_bytes += incoming.size_bytes
        if self._answered or self._request is None:
            self._close_message(incoming)
            return
        self._incoming = None  # `finish` ends its way
        status = self._store.finish(self._request, incoming)
        self.stored += status == SUCCESS
        self.refused += status != SUCCESS
        pass_point("before-response")
        self._respond(status)

    def _close_message(self, incoming: Incoming) -> None:
        self._store.end(incoming)
        self._incoming = self._command = self._request = None
        self._since = time.monotonic()

    def _respond(self, status: int, *, done: bool = True) -> None:
        command = self._command
        if command is None:
            return
        if done:
            self._command = self._request = None
        channel = self._channel
        channel.send(
            answer(
                command,
                status,
                context_id=self._context_id,
                max_pdu_bytes=channel.max_pdu_bytes,
            )
        )
        self._since = time.monotonic()
