"""A running lobby, and callers whom it trusts."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

from dicom_node.core.tls import TLSFiles, outgoing_context
from dicom_node.receive.lobby import Listener, Lobby, LobbyLimits, Visit
from dicom_node.receive.tls import ServerTLS
from dicom_node.receive.turned_away import TurnedAway
from tests.certificates import Authority, Pair, Wanted
from tests.integration.receive.wire import associate_rq

REQUEST = associate_rq({1: ("1.2.840.10008.1.1", "1.2.840.10008.1.2")})
SOON = 1.0  # what a good peer may wait while others misbehave


@dataclass
class Running:
    """A lobby and what it handed on."""

    lobby: Lobby
    port: int
    visits: "Queue[Visit]" = field(default_factory=Queue)
    told: list[TurnedAway] = field(default_factory=list)

    def connect(self, *, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=10, source_address=(source, 0)
        )

    def secured(self, client: ssl.SSLContext) -> ssl.SSLSocket:
        return client.wrap_socket(self.connect(), server_hostname="localhost")

    def next(self) -> Visit:
        return self.visits.get(timeout=10)

    def seconds_to_serve(
        self, client: ssl.SSLContext | None = None, *, source: str = "127.0.0.1"
    ) -> float:
        """Call as a well-behaved peer does; return how long it took to be let on."""
        began = time.monotonic()
        with self.connect(source=source) as connection:
            if client is None:
                connection.sendall(REQUEST)
            else:
                with client.wrap_socket(connection, server_hostname="localhost") as tls:
                    tls.sendall(REQUEST)
            with self.next().connection:
                return time.monotonic() - began


@contextmanager
def running(
    tls: ServerTLS | None = None, *, limits: LobbyLimits | None = None
) -> Iterator[Running]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    visits: Queue[Visit] = Queue()
    told: list[TurnedAway] = []
    lobby = Lobby(
        [Listener(listener, tls)],
        visits.put,
        limits=limits or LobbyLimits(seconds=10),
        on_turned_away=told.append,
    )
    port = listener.getsockname()[1]
    lobby.start()
    try:
        yield Running(lobby, port, visits, told)
    finally:
        lobby.close()
        while not visits.empty():
            visits.get().connection.close()


@dataclass(frozen=True)
class Trust:
    """A port's TLS, and those who may and may not call it."""

    authority: Authority
    caller: Pair
    server: ServerTLS
    client: ssl.SSLContext

    def context(self, pair: Pair | None) -> ssl.SSLContext:
        return outgoing_context(
            TLSFiles(
                ca=self.authority.certificate,
                certificate=pair.certificate if pair else None,
                private_key=pair.key if pair else None,
            )
        )


def make_trust(folder: Path) -> Trust:
    """Make an authority, the port's certificate and that of a caller."""
    authority = Authority(folder)
    node = authority.issue("node")
    subject = (("C", "DE"), ("O", "Smith, Jones"), ("CN", "ct1"))
    ct1 = authority.issue("ct1", Wanted(subject=subject))
    files = TLSFiles(
        ca=authority.certificate, certificate=node.certificate, private_key=node.key
    )
    client_files = TLSFiles(
        ca=authority.certificate, certificate=ct1.certificate, private_key=ct1.key
    )
    return Trust(authority, ct1, ServerTLS(files), outgoing_context(client_files))


def closed(connection: socket.socket) -> bool:
    """Wait until the other side has closed; True without a byte before."""
    with suppress(ConnectionError):
        return connection.recv(1) == b""
    return True
