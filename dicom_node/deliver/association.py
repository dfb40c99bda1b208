"""An association as requestor: opened, bounded in time, and explained in words.

pynetdicom's own timeouts do not bound a peer that sends half a PDU or stops
reading; here a watchdog shuts the socket down, which ends every wait.
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.deliver.gate import Gate
from dicom_node.deliver.peer import Peer as Peer
from dicom_node.deliver.refusal import Attempt, explain_refusal
from dicom_node.deliver.tls import NotingSocket, secure, shut_down
from dicom_node.deliver.watchdog import GRACE_SECONDS, Watchdog

# pynetdicom logs what it sends: identifiers, UIDs, exception texts.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
# A path given to send_c_store leaves as the bytes in the file, never re-encoded.
_config.STORE_SEND_CHUNKED_DATASET = True
_pynetdicom = logging.getLogger("pynetdicom")
_pynetdicom.setLevel(logging.CRITICAL + 1)
_pynetdicom.propagate = False

MAX_PDU_BYTES = 131072
MAX_CONTEXTS = 128  # PS3.8 9.3.2.2: context IDs are the odd numbers up to 255
_RELEASE_SECONDS = 10.0
_SLOWEST_BYTES_PER_SECOND = 1_000_000


class NothingAccepted(DeliveryError):
    """The peer answers, but takes none of the proposed presentation contexts."""


class Link:
    """An established association."""

    def __init__(self, association: Association, gate: Gate, peer: Peer) -> None:
        self.association = association
        self._gate = gate
        self._peer = peer
        self._unanswered = False

    @property
    def accepted(self) -> frozenset[tuple[str, str]]:
        """The accepted (SOP Class UID, Transfer Syntax UID) pairs."""
        return frozenset(
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in self.association.accepted_contexts
        )

    @property
    def alive(self) -> bool:
        """Whether more can be sent.

        pynetdicom notices a lost association some time after the answer is missed.
        """
        return bool(self.association.is_established) and not self._unanswered

    def echo(self) -> int:
        """C-ECHO and return the status.

        Raises:
            DeliveryError: no status came.
        """
        limit = self._peer.timeout_seconds
        return self.ask(self.association.send_c_echo, "C-ECHO", limit=limit)

    def store(self, content: Path | Dataset, *, size_bytes: int = 0) -> int:
        """C-STORE a file as it is, or a data set in the accepted syntax.

        Args:
            size_bytes: of what is sent; a large object may take longer than the
                peer's timeout.

        Returns:
            the status the peer answered.

        Raises:
            DeliveryError: no status came, or the object cannot be read or encoded.
        """

        def send() -> Dataset:
            return self.association.send_c_store(content)

        limit = self._peer.timeout_seconds + size_bytes / _SLOWEST_BYTES_PER_SECOND
        return self.ask(send, "C-STORE", limit=limit)

    def ask(self, send: Callable[[], Dataset], what: str, *, limit: float) -> int:
        """Send a request and return the status of its answer.

        Args:
            limit: seconds until the peer is given up.

        Raises:
            DeliveryError: no status came, or the object cannot be encoded.
        """
        self.association.dimse_timeout = limit
        started = time.monotonic()
        try:
            with Watchdog(self.association, limit):
                self._gate.stop(self.association)
                answer = send()
        except (ValueError, AttributeError) as error:
            raise DeliveryError(
                f"the object cannot be encoded for {self._peer} "
                f"({type(error).__name__}): nothing was sent",
                retryable=False,
            ) from None
        except (RuntimeError, OSError):
            answer = Dataset()  # the association ended before the first byte
        if "Status" in answer:
            return int(answer.Status)
        self._unanswered = True
        if time.monotonic() - started >= limit:
            raise DeliveryError(
                f"{self._peer} gave no answer to the {what} within {limit:.3g} s: "
                f"see its log, or raise {self._peer.setting('timeout_seconds')}",
                retryable=True,
            )
        raise DeliveryError(
            f"{self._peer} ended the association before it answered the {what}: "
            "see its log",
            retryable=True,
        )


@contextmanager
def associate(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Link]:
    """Open an association, release it at the end.

    Args:
        handlers: what answers the requests of the peer on this association.

    Raises:
        NothingAccepted: the peer takes none of the contexts.
        DeliveryError: there is no association; the sentence says why and what to do.
    """
    caller = _Caller(peer)
    try:
        association = _open(caller, peer, contexts, handlers=handlers)
        try:
            yield Link(association, caller.gate, peer)
        finally:
            # What the peer answered stands, however the association ends.
            if association.is_established:
                limit = min(peer.timeout_seconds, _RELEASE_SECONDS)
                association.acse_timeout = limit
                with Watchdog(association, limit), suppress(RuntimeError):
                    # Without this pynetdicom may answer the peer after its own
                    # release, or wait for ever for a thread that has just ended.
                    caller.gate.stop(association)
                    if association.is_alive():
                        association.release()
    finally:
        caller.close()


class _Caller(AE):
    """An application entity that holds on to the TCP socket of its association.

    pynetdicom does not close a socket whose connection failed or was lost.
    """

    def __init__(self, peer: Peer) -> None:
        super().__init__(ae_title=peer.calling_ae_title.strip())
        self.connection_timeout = peer.timeout_seconds
        self.acse_timeout = peer.timeout_seconds
        self.dimse_timeout = peer.timeout_seconds
        self.network_timeout = None  # the watchdog bounds what this would
        self.connection: socket.socket | None = None
        self.gate = Gate()
        self._association: Association | None = None
        self._peer = peer

    @property
    def tls_fault(self) -> OSError | None:
        """What went wrong with TLS, if anything did."""
        connection = self.connection
        return connection.fault if isinstance(connection, NotingSocket) else None

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> AssociationSocket:
        wrapped = super()._create_socket(assoc, address, tls_args)
        self._association, self.connection = assoc, wrapped.socket
        self.gate.guard(assoc)
        if self.connection is not None:
            # Nagle's algorithm with delayed ACKs costs 40 ms an answer.
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.connection is not None and self._peer.tls is not None:
            self.connection = wrapped.socket = secure(
                self.connection, self._peer.tls, self._peer.host
            )
        return wrapped

    def close(self) -> None:
        """Let pynetdicom's reactor end, then close the socket."""
        if self.connection is None or self._association is None:
            return
        shut_down(self.connection)
        reactor = self._association.dul
        if reactor.is_alive():
            reactor.join(GRACE_SECONDS)
        self.connection.close()


def _open(
    caller: _Caller,
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    handlers: Sequence[evt.EventHandlerType],
) -> Association:
    watchdogs: list[Watchdog] = []
    rejections: list[A_ASSOCIATE_RJ] = []

    def on_connection(event: evt.Event) -> None:
        watchdogs.append(Watchdog(event.assoc, peer.timeout_seconds).__enter__())

    def on_pdu(event: evt.Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            rejections.append(event.pdu)

    started = time.monotonic()
    try:
        association = caller.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.called_ae_title.strip(),
            max_pdu=MAX_PDU_BYTES,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, on_connection),
                (evt.EVT_PDU_RECV, on_pdu),
                *handlers,
            ],
        )
    except ConfigError as error:
        raise DeliveryError(
            f"{peer} cannot be called: {error}", retryable=True
        ) from None
    except OSError as error:
        raise DeliveryError(
            f"{peer} has no address ({type(error).__name__}): "
            f"check {peer.setting('host and port')} and the name service",
            retryable=True,
        ) from None
    finally:
        for watchdog in watchdogs:
            watchdog.__exit__()
    if association.is_established:
        return association
    answer = association.acceptor.primitive
    if answer is not None and answer.result == 0 and not association.accepted_contexts:
        raise NothingAccepted(
            f"{peer} accepts none of the proposed SOP classes: enable them there",
            retryable=False,
        )
    waited = time.monotonic() - started
    reason, retryable = explain_refusal(
        Attempt(
            connected=bool(watchdogs),
            timed_out=waited >= peer.timeout_seconds,
            tls=peer.tls is not None,
            tls_fault=caller.tls_fault,
            rejection=rejections[0] if rejections else None,
        )
    )
    raise DeliveryError(f"{peer} {_fill(reason, peer)}", retryable=retryable)


def _fill(reason: str, peer: Peer) -> str:
    return reason.format(
        address=peer.setting("host and port"),
        called=peer.setting("ae_title"),
        calling=peer.calling_ae_title,
        ca=peer.setting("ca"),
        certificate=peer.setting("certificate"),
        tls=peer.setting("tls"),
        seconds=f"{peer.timeout_seconds:g}",
    )
