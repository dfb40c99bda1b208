"""One association as acceptor: admission, negotiation, C-ECHO and C-STORE."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pynetdicom import AE, evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from dicom_node.core.clock import Clock
from dicom_node.core.errors import CannotUnderstand
from dicom_node.core.types import AssociationRecord
from dicom_node.receive.admission import Admission, Caller, Rejection
from dicom_node.receive.contexts import (
    VERIFICATION,
    is_storage_class,
    refused_contexts,
    supported_contexts,
)
from dicom_node.receive.handlers import SUCCESS, StoreHandler, StoreRequest
from dicom_node.receive.journal import bounded_ae_title, tell
from dicom_node.receive.messages import BoundedDIMSE, Message, MessageLimits
from dicom_node.receive.transport import (
    Bell,
    BoundedSocket,
    RingingQueue,
    WakingDUL,
)

log = logging.getLogger("dicom_node.receive")

_SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
_WAIT_SECONDS: Final = 0.25
# Level 2 (full) storage, no element coercion (PS3.4 B.3.1).
_STORAGE_INFORMATION: Final = b"\x02\x00\x00\x00\x00\x00"
# Some senders count the PDU's header into the length that they may send.
_PDU_SLACK_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What associations need of the node."""

    ae: AE
    ae_title: str
    transfer_syntaxes: frozenset[str]
    admission: Admission
    store: StoreHandler
    messages: MessageLimits
    on_association: Callable[[AssociationRecord], None]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Call:
    """A TCP connection whose A-ASSOCIATE-RQ has been read."""

    connection: socket.socket
    address: str
    request: bytes


class AcceptorAssociation(Association):
    """An association that a peer opened."""

    dul: WakingDUL
    dimse: BoundedDIMSE

    def __init__(self, services: Services, call: Call) -> None:
        super().__init__(services.ae, "acceptor")
        self._services = services
        self._call = call
        self._at = services.clock.now()
        self._begun = time.monotonic()
        self._activity = threading.Event()
        self._bell = Bell()
        self._rejection: Rejection | None = None
        self._admitted = False
        self._counts = [0, 0, 0]  # instances, refused instances, bytes
        self.acse = _AdmittingACSE(self)
        self._replace_providers()
        self.acceptor.maximum_length = services.ae.maximum_pdu_size
        self.acceptor.ae_title = services.ae_title
        host, port = call.connection.getsockname()[:2]
        self.acceptor.address_info = AddressInformation(host, port)
        self.requestor.address_info = AddressInformation(call.address, 0)
        self.bind(evt.EVT_SOP_EXTENDED, _answer_extended)
        self.name = "receive-association"

    def _replace_providers(self) -> None:
        self.dul = WakingDUL(self, self._bell)
        self.dul.to_user_queue = RingingQueue(self._activity.set)
        self.acse_timeout = self.ae.acse_timeout
        self.network_timeout = self.ae.network_timeout
        self.dimse = BoundedDIMSE(self, self._activity.set, self._services.messages)
        self.set_socket(
            BoundedSocket(
                self,
                self._call.connection,
                first=self._call.request,
                max_pdu_bytes=self.ae.maximum_pdu_size + _PDU_SLACK_BYTES,
                bell=self._bell,
            )
        )

    @property
    def caller(self) -> Caller:
        """Who calls; the AE titles are bounded and printable."""
        request = self.requestor.primitive
        return Caller(
            bounded_ae_title(getattr(request, "calling_ae_title", "")),
            bounded_ae_title(getattr(request, "called_ae_title", "")),
            self._call.address,
        )

    @property
    def idle(self) -> bool:
        """Whether nothing of a message is here."""
        return bool(self.dimse.idle)

    def run(self) -> None:
        """Serve the association to its end, and leave nothing behind."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - a thread's edge
            log.error("association failed", extra={"reason": type(error).__name__})
        finally:
            self._end()

    def admit(self) -> bool:
        """Ask the admission; on True the offer's acceptable contexts are set."""
        self._rejection = self._services.admission.enter(self.caller)
        if self._rejection is not None:
            self.acse.send_reject(
                self._rejection.result,
                self._rejection.source,
                self._rejection.diagnostic,
            )
            return False
        self._admitted = True
        self.acceptor.supported_contexts = supported_contexts(
            self._offered(),
            self._services.transfer_syntaxes,
        )
        return True

    def hang_up(self) -> None:
        """End the association from another thread: A-ABORT, then the connection."""
        self.dul.abort_hard()
        self._bell.ring()
        self._activity.set()

    def _offered(self) -> list[PresentationContext]:
        request = self.requestor.primitive
        return request.presentation_context_definition_list if request else []

    def _run_reactor(self) -> None:
        """Serve messages until the association ends, sleeping in between.

        The inherited loop looks a thousand times a second.
        """
        while not self._kill:
            waiting = self.dimse.next_message()
            if waiting is not None:
                self._serve(*waiting)
                self._bell.ring()  # the socket may be waiting for room
                continue
            if self._ended():
                return
            self._activity.wait(_WAIT_SECONDS)
            self._activity.clear()

    def _ended(self) -> bool:
        if self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released, self.is_established = True, False
            self.kill()
        elif self.acse.is_aborted():
            self.is_aborted, self.is_established = True, False
            self.kill()
        elif not self.dul.is_alive():
            self.kill()
        elif self.dul.idle_timer_expired() or self.dimse.overdue():
            self.hang_up()
            self.kill()
        return bool(self._kill)

    def _serve(self, context_id: int, message: Message) -> None:
        """Answer one request; what this node never offered ends the association."""
        request = message.primitive
        context = self._accepted_cx.get(context_id)
        try:
            if context is None or request.MessageID is None:
                self.hang_up()
            elif isinstance(request, C_STORE):
                self._answer_store(message, context)
            elif isinstance(request, C_ECHO) and request.is_valid_request:
                self._answer_echo(request, context)
            else:
                self.hang_up()
        finally:
            self.dimse.answered(message)

    def _answer_echo(self, request: Any, context: Any) -> None:
        known = context.abstract_syntax == VERIFICATION
        response = C_ECHO()
        response.AffectedSOPClassUID = VERIFICATION
        status = SUCCESS if known else _SOP_CLASS_NOT_SUPPORTED
        self._respond(context, request, response, status)

    def _answer_store(self, message: Message, context: Any) -> None:
        request = message.primitive
        dataset = b"" if request.DataSet is None else request.DataSet.getvalue()
        whole = request.is_valid_request
        status = self._services.store.handle(
            StoreRequest(
                calling_ae_title=self.caller.calling_ae_title,
                called_ae_title=self.caller.called_ae_title,
                peer_address=self._call.address,
                abstract_syntax=str(context.abstract_syntax),
                transfer_syntax_uid=str(context.transfer_syntax[0]),
                affected_sop_class_uid=str(request.AffectedSOPClassUID or ""),
                affected_sop_instance_uid=str(request.AffectedSOPInstanceUID or ""),
                dataset=dataset,
                refusal=message.refusal if whole else CannotUnderstand("no data set"),
            )
        )
        self._counts[0 if status == SUCCESS else 1] += 1
        self._counts[2] += len(dataset)
        response = C_STORE()
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
        self._respond(context, request, response, status)

    def _respond(self, context: Any, request: Any, response: Any, status: int) -> None:
        if not self.is_established:
            return  # the peer left; it has no answer and will send again
        response.MessageID = request.MessageID
        response.MessageIDBeingRespondedTo = request.MessageID
        response.Status = status
        self.dimse.send_msg(response, context.context_id)

    def _end(self) -> None:
        """Close what is open, whatever state pynetdicom is in, and tell."""
        if self._started_dul:
            self.dul.kill_dul()
            self._bell.ring()
            self.dul.join(5.0)
        with contextlib.suppress(OSError):
            self._call.connection.close()
        self.dimse.release()
        if self._admitted:
            self._services.admission.leave(self.caller)
        if not self.dul.is_alive():
            self._bell.close()
        tell(self._record(), self._services.on_association)

    def _record(self) -> AssociationRecord:
        results = {cx.context_id: cx.result for cx in self._rejected_cx}
        results |= {context_id: 0 for context_id in self._accepted_cx}
        caller = self.caller
        if self._rejection is not None:
            reason = self._rejection.reason
        elif not self._admitted:
            reason = "no valid association request"
        else:
            reason = "released" if self.is_released else "aborted"
        return AssociationRecord(
            at=self._at,
            calling_ae_title=caller.calling_ae_title,
            called_ae_title=caller.called_ae_title,
            peer_address=caller.address,
            accepted=self._admitted,
            reason=reason,
            refused_contexts=refused_contexts(self._offered(), results),
            instances=self._counts[0],
            refused_instances=self._counts[1],
            size_bytes=self._counts[2],
            seconds=round(time.monotonic() - self._begun, 3),
        )


class _AdmittingACSE(ACSE):
    """Negotiation that asks the admission first."""

    def __init__(self, association: AcceptorAssociation) -> None:
        super().__init__(association)
        self._association = association

    def _negotiate_as_acceptor(self) -> None:
        if self._association.admit():
            super()._negotiate_as_acceptor()
        else:
            self._association.kill()


def _answer_extended(event: Any) -> dict[Any, bytes]:
    """Answer the extended negotiation of storage classes, if it was asked for."""
    return {
        sop_class_uid: _STORAGE_INFORMATION
        for sop_class_uid in event.app_info
        if is_storage_class(str(sop_class_uid))
    }
