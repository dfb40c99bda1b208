"""The Storage SCP: one port, many associations."""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pynetdicom
from pynetdicom import AE, _config

from config.settings import Settings
from dicom_node.core.clock import Clock
from dicom_node.core.errors import ConfigError
from dicom_node.core.types import AssociationRecord
from dicom_node.receive.admission import Admission, Peer
from dicom_node.receive.association import AcceptorAssociation, Call, Services
from dicom_node.receive.handlers import Files, OnInstance, StoreHandler
from dicom_node.receive.lobby import Lobby, LobbyLimits
from dicom_node.receive.messages import Budget, MessageLimits
from dicom_node.receive.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from dicom_node.receive.scan import ScanLimits
from inference.pixels.codecs import decodable_transfer_syntaxes

log = logging.getLogger("dicom_node.receive")

_BACKLOG = 128
_POLL_SECONDS = 0.02
# An association that has said nothing for so long is not in the middle of anything.
_IDLE_SECONDS = 2.0


def _decodable() -> frozenset[str]:
    return frozenset(decodable_transfer_syntaxes())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveOptions:
    """How the acceptor listens and what it bears.

    Args:
        max_buffered_bytes: data sets in memory, over all associations.
        transfer_syntaxes: what the node can decode.
    """

    ae_title: str = "AINODE"
    host: str = "127.0.0.1"
    port: int = 0
    peers: tuple[Peer, ...] = ()
    max_associations: int = 64
    max_associations_per_peer: int = 32
    max_pdu_bytes: int = 131072
    max_instance_bytes: int = 4 << 30
    max_buffered_bytes: int = 512 << 20
    acse_timeout_seconds: float = 10.0
    dimse_timeout_seconds: float = 60.0
    network_timeout_seconds: float = 60.0
    scan: ScanLimits = field(default_factory=ScanLimits)
    transfer_syntaxes: frozenset[str] = field(default_factory=_decodable)

    @classmethod
    def from_settings(cls, settings: Settings) -> "ReceiveOptions":
        """Read the tables [node], [receive] and [[peers]]."""
        node, receive = settings.node, settings.receive
        return cls(
            ae_title=node.ae_title,
            host=node.host,
            port=node.port,
            peers=tuple(Peer(peer.ae_title, peer.host) for peer in settings.peers),
            max_associations=receive.max_associations,
            max_associations_per_peer=receive.max_associations_per_peer,
            max_pdu_bytes=receive.max_pdu_bytes,
            max_instance_bytes=receive.max_instance_bytes,
            acse_timeout_seconds=receive.acse_timeout_seconds,
            dimse_timeout_seconds=receive.dimse_timeout_seconds,
            network_timeout_seconds=receive.network_timeout_seconds,
            scan=ScanLimits(
                max_inflated_bytes=receive.max_inflated_bytes,
                max_depth=receive.max_sequence_depth,
                max_native_bytes=receive.max_instance_bytes,
            ),
        )


class Acceptor:
    """Takes associations and answers C-ECHO and C-STORE.

    Args:
        on_instance: records an instance whose file is on stable storage; only when it
            returned does the sender hear 0x0000.
        on_association: told once per association request, when all is over.
    """

    def __init__(
        self,
        options: ReceiveOptions,
        *,
        on_instance: OnInstance,
        store: Files,
        on_association: Callable[[AssociationRecord], None],
        clock: Clock,
    ) -> None:
        silence_pynetdicom()
        self._options = options
        self._admission = Admission(
            options.ae_title,
            options.peers,
            limits=(options.max_associations, options.max_associations_per_peer),
        )
        handler = StoreHandler(store, on_instance, limits=options.scan, clock=clock)
        self._services = Services(
            ae=_application_entity(options),
            ae_title=options.ae_title,
            transfer_syntaxes=options.transfer_syntaxes,
            admission=self._admission,
            store=handler,
            messages=MessageLimits(
                max_bytes=options.max_instance_bytes,
                budget=Budget(options.max_buffered_bytes),
                refusal=handler.refusal,
            ),
            on_association=on_association,
            clock=clock,
        )
        self._lock = threading.Lock()
        self._associations: set[AcceptorAssociation] = set()
        self._lobby: Lobby | None = None

    def start(self) -> tuple[str, int]:
        """Listen; return the address, with the port the system chose for port 0.

        Raises:
            ConfigError: the address cannot be listened on; the text has the remedy.
        """
        listener = listen(self._options.host, self._options.port)
        host, port = listener.getsockname()[:2]
        self._lobby = Lobby(
            listener,
            self._begin,
            limits=LobbyLimits(seconds=self._options.acse_timeout_seconds),
        )
        self._lobby.start()
        log.info("listening", extra={"port": port})
        return str(host), int(port)

    def drain(self, seconds: float) -> bool:
        """Take no new association, let those in progress finish, then stop.

        Returns:
            Whether all of them ended within `seconds` without being cut in a message.
        """
        self._admission.close()
        if self._lobby is not None:
            self._lobby.close()
        started = time.monotonic()
        idle_since: dict[AcceptorAssociation, float] = {}
        while self._open() and time.monotonic() - started < seconds:
            for association in self._open():
                now = time.monotonic()
                if not association.idle:
                    idle_since.pop(association, None)
                elif now - idle_since.setdefault(association, now) > _IDLE_SECONDS:
                    association.hang_up()
            time.sleep(_POLL_SECONDS)
        left = self._open()
        for association in left:
            association.hang_up()
        for association in left:
            association.join(_IDLE_SECONDS)
        log.info("drained", extra={"aborted": len(left)})
        return not left

    def _begin(self, connection: socket.socket, address: str, request: bytes) -> None:
        association = AcceptorAssociation(
            self._services, Call(connection, address, request)
        )
        with self._lock:
            self._associations = {
                item for item in self._associations if item.is_alive()
            } | {association}
            association.start()

    def _open(self) -> list[AcceptorAssociation]:
        with self._lock:
            return [item for item in self._associations if item.is_alive()]


def silence_pynetdicom() -> None:
    """Keep identifiers and exception texts of pynetdicom out of every handler."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    for name in (pynetdicom.__name__, "pydicom"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False


def _application_entity(options: ReceiveOptions) -> AE:
    ae = AE(ae_title=options.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = options.max_pdu_bytes
    ae.acse_timeout = options.acse_timeout_seconds
    ae.dimse_timeout = options.dimse_timeout_seconds
    ae.network_timeout = options.network_timeout_seconds
    ae.maximum_associations = (
        options.max_associations + 1
    )  # ours decides, see Admission
    return ae


class PortTaken(ConfigError):
    """Somebody listens there already."""


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    Raises:
        PortTaken: another program, or another node, has the port.
        ConfigError: the address or the port is none this user may listen on.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda item: item[0])
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise ConfigError(
            f"node.host '{host}' is no address of this machine: use 127.0.0.1 or one "
            "of its own addresses"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken: stop the other program, or set "
                "another node.port"
            ) from None
        raise ConfigError(_explain(error, host, port)) from None
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: set a node.port of 1024 or more"
    return (
        f"cannot listen on {host} port {port}: check node.host, it has to be an "
        "address of this machine"
    )
