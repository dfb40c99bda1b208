"""One association as acceptor, served by one blocking thread from offer to end."""

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from dicom_node.core.clock import Clock
from dicom_node.core.errors import CannotUnderstand
from dicom_node.core.types import AssociationRecord
from dicom_node.receive.admission import Admission, Caller, Rejection
from dicom_node.receive.contexts import refused_contexts, supported_contexts
from dicom_node.receive.handlers import Sender
from dicom_node.receive.identity import identity_of, response_items
from dicom_node.receive.journal import tell
from dicom_node.receive.lobby import Visit
from dicom_node.receive.messages import Channel, Handlers, MessageLimits, Messages
from dicom_node.receive.negotiate import (
    ABORT_BY_NODE,
    RELEASE_RP,
    Acceptance,
    Offer,
    accept,
    read_offer,
    reject,
)
from dicom_node.receive.stream import (
    ABORTED,
    CLOSED,
    RELEASED,
    Broken,
    PduReader,
    prepare,
    sender,
)

log = logging.getLogger("dicom_node.receive")

Ended = Literal["released", "aborted", "rejected"]

_SHUT_DOWN: Final = "aborted: the node is shutting down"
_UNFINISHED: Final = " in the middle of a message"
# After a reject or a release the requestor closes (PS3.8 9.2.3, Sta13); this waits for
# it, but strangers that do not must not fill the node with waiting threads.
_ARTIM_SECONDS: Final = 2.0
_WAITING_MAX: Final = 16
# So long and so much is read and forgotten of what comes behind an A-ABORT.
_ABORT_SECONDS: Final = 1.0
_DRAIN_BYTES: Final = 8 << 20
_BLOCK_BYTES: Final = 64 * 1024
_waiting = threading.BoundedSemaphore(_WAITING_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What associations need of the node.

    Args:
        transfer_syntaxes: what can be decoded.
        sop_classes: what a called AE title accepts, where that is not everything.
        ended: told "released", "aborted" or "rejected".
    """

    transfer_syntaxes: frozenset[str]
    sop_classes: dict[str, frozenset[str]]
    admission: Admission
    handlers: Handlers
    limits: MessageLimits
    max_pdu_bytes: int
    on_association: Callable[[AssociationRecord], None]
    opened: Callable[[], None]
    ended: Callable[[Ended], None]
    clock: Clock


class AcceptorAssociation(threading.Thread):
    """An association that a peer opened."""

    def __init__(self, services: Services, visit: Visit) -> None:
        super().__init__(name="receive-association", daemon=True)
        self._services = services
        self._visit = visit
        self._at = services.clock.now()
        self._begun = time.monotonic()
        self._offer: Offer | None = None
        self._acceptance: Acceptance | None = None
        self._rejection: Rejection | None = None
        self._messages: Messages | None = None
        self._leaving = False
        self._opened = False
        self._reason = ""

    @property
    def idle(self) -> bool:
        """Whether nothing of a message is here."""
        messages = self._messages
        return messages is None or messages.idle

    def hang_up(self) -> None:
        """End the association from another thread, as soon as its thread sees it."""
        self._leaving = True
        with contextlib.suppress(OSError):
            # That of SSLSocket would take the encryption away from what is still sent.
            socket.socket.shutdown(self._visit.connection, socket.SHUT_RD)

    def run(self) -> None:
        """Serve the association to its end, and leave nothing behind."""
        try:
            self._serve()
        except Broken as fault:
            self._abort(f"aborted: {fault.reason}", fault.abort)
        except CannotUnderstand as error:  # the request: Sta2, Evt19, AA-1 (PS3.8 9.2)
            self._abort(f"aborted: {error}", ABORT_BY_NODE)
        except (OSError, ssl.SSLError):
            self._reason = self._reason or CLOSED
        except Exception as error:  # noqa: BLE001 - a thread's edge
            log.error("association failed", extra={"reason": type(error).__name__})
            self._abort("aborted: internal error", ABORT_BY_NODE)
        finally:
            self._end()

    def _serve(self) -> None:
        self._offer = offer = read_offer(self._visit.request)
        prepare(
            self._visit.connection,
            send_seconds=self._services.limits.idle_seconds,
        )
        self._rejection = offer.fault or self._services.admission.enter(self._caller)
        if self._rejection is not None:
            self._send(reject(self._rejection))
            self._await_close(_ARTIM_SECONDS)
            return
        try:
            self._services.opened()
            self._opened = True
            self._receive(offer)
        finally:
            self._services.admission.leave(self._caller)

    def _receive(self, offer: Offer) -> None:
        services = self._services
        accepted = self._acceptance = accept(
            offer,
            supported_contexts(
                offer.contexts,
                services.transfer_syntaxes,
                only=services.sop_classes.get(offer.called_ae_title),
                commitment=services.handlers.events is not None
                and offer.reports_commitment,
            ),
            max_pdu_bytes=services.max_pdu_bytes,
            further=response_items(
                self._caller.identity,
                verified=services.admission.identified(self._caller),
            ),
        )
        messages = self._messages = Messages(
            Channel(
                send=self._sender(),
                contexts=accepted.accepted,
                max_pdu_bytes=offer.max_pdu_bytes,
                sender=Sender(
                    calling_ae_title=offer.calling_ae_title,
                    called_ae_title=offer.called_ae_title,
                    peer_address=self._visit.address,
                ),
            ),
            services.handlers,
            services.limits,
        )
        self._sender()(accepted.encoded)
        reader = PduReader(
            self._visit.connection, messages, max_pdu_bytes=services.max_pdu_bytes
        )
        try:
            self._reason = reader.run()
        finally:
            messages.close()
        if self._leaving:
            self._reason = _SHUT_DOWN
            self._send(ABORT_BY_NODE)
        elif self._reason == RELEASED:
            self._send(RELEASE_RP)
            self._await_close(_ARTIM_SECONDS)

    @property
    def _caller(self) -> Caller:
        offer = self._offer
        return Caller(
            calling_ae_title=offer.calling_ae_title if offer else "",
            called_ae_title=offer.called_ae_title if offer else "",
            address=self._visit.address,
            tls_version=self._visit.tls_version,
            certificate_subject=self._visit.certificate_subject,
            identity=identity_of(offer.user_information) if offer else None,
        )

    def _sender(self) -> Callable[[bytes], None]:
        seconds = self._services.limits.idle_seconds
        return sender(self._visit.connection, send_seconds=seconds)

    def _send(self, pdu: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._sender()(pdu)

    def _abort(self, reason: str, pdu: bytes) -> None:
        """Send an A-ABORT to a peer that may be in the middle of sending."""
        self._reason = reason
        self._send(pdu)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._visit.connection, socket.SHUT_WR)
        self._await_close(_ABORT_SECONDS)

    def _await_close(self, seconds: float) -> None:
        """Let the peer read the last PDU: a socket closed too early resets."""
        if not _waiting.acquire(blocking=False):
            return
        try:
            self._wait_for_close(seconds)
        finally:
            _waiting.release()

    def _wait_for_close(self, seconds: float) -> None:
        connection = self._visit.connection
        until, left = time.monotonic() + seconds, _DRAIN_BYTES
        with contextlib.suppress(OSError, ValueError):
            while left > 0 and not self._leaving:
                if (rest := until - time.monotonic()) <= 0:
                    return
                connection.settimeout(rest)
                # What is read is forgotten: with TLS, too, nobody has to decrypt it.
                block = socket.socket.recv(connection, _BLOCK_BYTES)
                if not block:
                    return
                left -= len(block)

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._visit.connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._visit.connection.close()
        record = self._record()
        ended: Ended = "released" if self._reason == RELEASED else "aborted"
        self._services.ended(ended if self._opened else "rejected")
        tell(record, self._services.on_association)

    def _record(self) -> AssociationRecord:
        offer, messages = self._offer, self._messages
        results = self._acceptance.results if self._acceptance else {}
        if self._rejection is not None:
            reason = self._rejection.reason
        else:
            reason = self._reason or ABORTED
            by_sender = reason in (RELEASED, ABORTED, CLOSED)
            if by_sender and messages is not None and not messages.idle:
                reason += _UNFINISHED
        return AssociationRecord(
            at=self._at,
            calling_ae_title=offer.calling_ae_title if offer else "",
            called_ae_title=offer.called_ae_title if offer else "",
            peer_address=self._visit.address,
            accepted=self._acceptance is not None,
            reason=reason,
            refused_contexts=refused_contexts(offer.contexts if offer else (), results),
            instances=messages.stored if messages else 0,
            refused_instances=messages.refused if messages else 0,
            size_bytes=messages.size_bytes if messages else 0,
            seconds=round(time.monotonic() - self._begun, 3),
            tls_version=self._visit.tls_version,
            certificate_subject=self._visit.certificate_subject,
        )
