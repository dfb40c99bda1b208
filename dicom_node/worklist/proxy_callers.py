"""Who calls the worklist proxy: let in or rejected, and bounded in what they may take.

pynetdicom serves the associations. What it lacks against a hostile caller is added
here: a limit of connections, of the length of a PDU and of a query, and of the time
that one may take to arrive.
"""

import errno
import socket
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

# Result, source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 9.3.4).
Refusal = tuple[int, int, int]
LIMIT_REACHED: Final[Refusal] = (2, 3, 2)
SHUTTING_DOWN: Final[Refusal] = (2, 3, 1)
_MAX_PDU_BYTES: Final = 1 << 18
_MAX_QUERY_BYTES: Final = 1 << 20
_PDU_SECONDS: Final = 30.0
_REQUEST_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 60.0
_READ_BYTES: Final = 1 << 16
_P_DATA_TF: Final = 4
# Connections that have not said yet who they are, for each association.
_STRANGERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCaller:
    """Who asks for an association."""

    calling_ae_title: str
    called_ae_title: str
    address: str


Admit = Callable[[ProxyCaller], Refusal | None]


class Callers:
    """The associations of the proxy; safe for threads."""

    def __init__(self, admit: Admit, table: ProxyTable) -> None:
        self._admit, self._table = admit, table
        self._lock = threading.Lock()
        self._inside: set[Association] = set()
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

    def room(self) -> bool:
        """Say whether one more connection may be opened."""
        with self._lock:
            self._forget_ended()
            return len(self._all) < _STRANGERS * self._table.max_associations + 8

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def end(self, seconds: float) -> None:
        """End every connection, and wait for its thread."""
        with self._lock:
            left = tuple(self._all)
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
        wrapped.recv = _BoundedReading(wrapped.socket).read

    def _on_requested(self, event: evt.Event) -> None:
        association = event.assoc
        request: Any = association.requestor.primitive
        caller = ProxyCaller(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=str(association.requestor.address),
        )
        refusal = self._refuse(association, caller)
        if refusal is not None:
            association.acse.send_reject(*refusal)
            association.kill()

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
        with suppress(OSError):
            wrapped.socket.shutdown(socket.SHUT_RDWR)


class _BoundedReading:
    """Stands in for the reading of pynetdicom's socket, which has no limits.

    It is called for the six bytes of a PDU's header and for what follows it, in turn.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        connection.settimeout(_PDU_SECONDS)
        self._until = 0.0
        self._header = bytearray()
        self._query_bytes = 0

    def read(self, size: int) -> bytearray:
        """Read so many bytes; fewer when the peer has closed.

        Raises:
            OSError: it is too much, or takes too long; pynetdicom then closes.
        """
        if not self._header:
            self._until = time.monotonic() + _PDU_SECONDS
            self._header = content = self._read(size)
            return content
        kind, self._header = self._header[0], bytearray()
        if size > _MAX_PDU_BYTES:
            raise OSError(errno.EMSGSIZE, "a PDU is too long")
        content = self._read(size)
        self._count(kind, content)
        return content

    def _count(self, kind: int, content: bytearray) -> None:
        """Bound a message; its last fragment, alone in its PDU or not, ends it."""
        if kind != _P_DATA_TF:
            return
        self._query_bytes += len(content)
        if self._query_bytes > _MAX_QUERY_BYTES:
            raise OSError(errno.EMSGSIZE, "a query is too long")
        position = 0
        while position + 6 <= len(content):
            if content[position + 5] & 2:
                self._query_bytes = 0
            position += 4 + int.from_bytes(content[position : position + 4], "big")

    def _read(self, size: int) -> bytearray:
        content = bytearray()
        while len(content) < size:
            if time.monotonic() > self._until:
                raise TimeoutError("a PDU takes too long")
            part = self._socket.recv(min(size - len(content), _READ_BYTES))
            if not part:
                break
            content += part
        return content


def _server(callers: Callers) -> type[ThreadedAssociationServer]:
    class Server(ThreadedAssociationServer):
        """Turns connections away when there are too many, and says nothing."""

        request_queue_size = 128

        def verify_request(self, *_: object) -> bool:
            return callers.room()

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
