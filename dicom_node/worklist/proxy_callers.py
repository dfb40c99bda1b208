"""Who calls the worklist proxy: let in or rejected, and bounded in what they may take.

pynetdicom serves the associations. What it lacks against a hostile caller is added
here: a limit of connections, of the length of a PDU and of a query, and of the time
that one may take to arrive.
"""

import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any, Final

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from config.proxy import ProxyTable
from dicom_node.core.errors import ConfigError
from dicom_node.worklist.proxy_reading import BoundedReading
from dicom_node.worklist.proxy_tls import PortTLS, shake_hands

# Result, source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 9.3.4).
Refusal = tuple[int, int, int]
LIMIT_REACHED: Final[Refusal] = (2, 3, 2)
SHUTTING_DOWN: Final[Refusal] = (2, 3, 1)
_REQUEST_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 60.0
_HANDSHAKE_SECONDS: Final = 10.0
# Connections that have not said yet who they are, for each association.
_STRANGERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCaller:
    """Who asks for an association.

    Args:
        connection: with TLS; None without it.
        user_information: items of the A-ASSOCIATE-RQ, pynetdicom's primitives.
    """

    calling_ae_title: str
    called_ae_title: str
    address: str
    connection: ssl.SSLSocket | None = None
    user_information: tuple[object, ...] = ()


Admit = Callable[[ProxyCaller], Refusal | None]


class Callers:
    """The associations of the proxy; safe for threads."""

    def __init__(
        self, admit: Admit, table: ProxyTable, tls: PortTLS | None = None
    ) -> None:
        self._admit, self._table, self._tls = admit, table, tls
        self._lock = threading.Lock()
        self._inside: set[Association] = set()
        # Accepted, and perhaps still at their TLS handshake.
        self._new: set[socket.socket] = set()
        # pynetdicom leaves the socket of a lost connection open.
        self._all: dict[Association, socket.socket] = {}
        self._working = 0
        self._closed = False

    @property
    def handlers(self) -> list[tuple[Any, ...]]:
        """What pynetdicom is to call."""
        return [
            (evt.EVT_CONN_OPEN, self._on_connection),
            (evt.EVT_REQUESTED, self._on_requested),
        ]

    @property
    def busy(self) -> bool:
        """Whether a query is under way."""
        return self._working > 0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a query while it is under way."""
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1

    def serve(
        self, entity: AE, handlers: list[tuple[Any, ...]]
    ) -> ThreadedAssociationServer:
        """Listen, and serve in a thread.

        Raises:
            ConfigError: nobody can listen there, or somebody does already.
        """
        entity.maximum_associations = 1000  # the limits here have their reasons
        entity.acse_timeout = _REQUEST_SECONDS
        entity.network_timeout = entity.dimse_timeout = _IDLE_SECONDS
        host, port = self._table.host, self._table.port or 0
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
            server: ThreadedAssociationServer = entity.make_server(
                (str(found[0]), port), evt_handlers=handlers, server_class=_server(self)
            )
        except OSError as error:
            raise ConfigError(_explain(error, host, port)) from None
        # Short, so that `shutdown` does not wait.
        thread = threading.Thread(
            target=server.serve_forever, args=(0.1,), name="proxy", daemon=True
        )
        thread.start()
        return server

    def take(self, connection: socket.socket) -> bool:
        """Take one more connection, to be followed by `begun`, if there is room."""
        with self._lock:
            self._forget_ended()
            most = _STRANGERS * self._table.max_associations + 8
            room = len(self._all) + len(self._new) < most and not self._closed
            if room:
                self._new.add(connection)
            return room

    def begun(self, connection: socket.socket) -> None:
        """Note that the connection has an association, or is gone."""
        with self._lock:
            self._new.discard(connection)

    def wrap(self, connection: socket.socket) -> socket.socket:
        """Begin TLS where it is spoken, without the handshake.

        Raises:
            OSError: the connection is gone.
        """
        if self._tls is None:
            return connection
        self._tls.look()
        try:
            return self._tls.wrap(connection)
        except (OSError, ValueError):
            connection.close()
            raise OSError("the connection is gone") from None

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def end(self, seconds: float) -> None:
        """End every connection, and wait for its thread."""
        with self._lock:
            left, new = tuple(self._all), tuple(self._new)
        for connection in new:
            shut_down(connection)
        for association in left:
            end_connection(association)
        until = time.monotonic() + seconds
        for association in left:
            with suppress(RuntimeError):  # not started
                association.join(max(0.0, until - time.monotonic()))
        with self._lock:
            self._forget_ended()

    def _on_connection(self, event: evt.Event) -> None:
        wrapped: Any = event.assoc.dul.socket
        with self._lock:
            self._all[event.assoc] = wrapped.socket
        wrapped.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wrapped.recv = BoundedReading(wrapped.socket).read

    def _on_requested(self, event: evt.Event) -> None:
        association = event.assoc
        request: Any = association.requestor.primitive
        caller = ProxyCaller(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=str(association.requestor.address),
            connection=self._encrypted(association),
            user_information=tuple(request.user_information),
        )
        refusal = self._refuse(association, caller)
        if refusal is not None:
            association.acse.send_reject(*refusal)
            association.kill()

    def _encrypted(self, association: Association) -> ssl.SSLSocket | None:
        connection = self._all.get(association)
        return connection if isinstance(connection, ssl.SSLSocket) else None

    def _refuse(self, association: Association, caller: ProxyCaller) -> Refusal | None:
        if self._closed:
            return SHUTTING_DOWN
        if (refusal := self._admit(caller)) is not None:
            return refusal
        with self._lock:
            self._forget_ended()
            if len(self._inside) >= self._table.max_associations:
                return LIMIT_REACHED
            self._inside.add(association)
        return None

    def _forget_ended(self) -> None:
        # One whose thread is still to be started is alive as well.
        ended = {one for one in self._all if one.ident and not one.is_alive()}
        self._inside -= ended
        for one in ended:
            self._all.pop(one).close()


def end_connection(association: Association) -> None:
    """End a connection at once, whatever pynetdicom's threads are waiting for."""
    wrapped = association.dul.socket
    if wrapped is not None and wrapped.socket is not None:
        shut_down(wrapped.socket)


def shut_down(connection: socket.socket) -> None:
    """End every wait on a connection; that of TLS would take the encryption away."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _server(callers: Callers) -> type[ThreadedAssociationServer]:
    class Server(ThreadedAssociationServer):
        """Turns connections away when there are too many, and says nothing."""

        request_queue_size = 128

        def get_request(self) -> tuple[socket.socket, Any]:
            connection, address = super().get_request()
            return callers.wrap(connection), address

        def verify_request(self, request: Any, _address: object) -> bool:
            return callers.take(request)

        def finish_request(self, request: Any, client_address: Any) -> None:
            """Shake hands in the connection's own thread, then let it speak."""
            try:
                if isinstance(request, ssl.SSLSocket):
                    until = time.monotonic() + _HANDSHAKE_SECONDS
                    shake_hands(request, until)
                super().finish_request(request, client_address)
            finally:
                callers.begun(request)

        def shutdown(self) -> None:
            """Stop serving; pynetdicom's own looks for a list that this is not in."""
            BaseServer.shutdown(self)
            self.server_close()

        def handle_error(self, *_: object) -> None:
            """Let the others live; a connection that breaks is no error of ours."""

    return Server


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken: stop the other program, or set another "
            "worklist.proxy.port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: set a worklist.proxy.port above 1023"
    return (
        f"cannot listen on {host} port {port}: check worklist.proxy.host, it has to be "
        "an address of this machine"
    )
