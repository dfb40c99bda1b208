"""How a call is made: pynetdicom kept quiet, its socket held, a refusal explained."""

import logging
import socket
import ssl
import time
from collections.abc import Sequence

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.deliver.gate import Gate
from dicom_node.deliver.peer import Peer
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


class NothingAccepted(DeliveryError):
    """The peer answers, but takes none of the proposed presentation contexts."""


class Caller(AE):
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


def call(
    caller: Caller,
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    handlers: Sequence[evt.EventHandlerType],
) -> Association:
    """Connect and negotiate.

    Raises:
        NothingAccepted: the peer takes none of the contexts.
        DeliveryError: there is no association; the sentence says why and what to do.
    """
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
