"""An HTTP service that answers, or does not, as a test wants."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Headers
    body: bytes


# What happens to a request that is here: it answers on the socket, or does not.
Behaviour = Callable[[socket.socket, Asked], None]


@dataclass(slots=True)
class Service:
    """A running service: where it listens and what it was asked."""

    port: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of a service below a path, as DICOMweb services are."""
        return f"http://127.0.0.1:{self.port}/dicom-web"


def answer(
    status: int,
    body: bytes = b"",
    *,
    content_type: str = "application/dicom+json",
    headers: Sequence[str] = (),
) -> Behaviour:
    """Answer with this."""
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return raw("\r\n".join([*lines, "", ""]).encode() + body)


def raw(content: bytes) -> Behaviour:
    """Send these bytes and close."""
    return lambda connection, _: connection.sendall(content)


@contextmanager
def running_service(
    *behaviours: Behaviour, tls: ssl.SSLContext | None = None
) -> Iterator[Service]:
    """Run a service; the behaviours are used up one by one, the last one stays."""
    listener = socket.create_server(("127.0.0.1", 0))
    service = Service(listener.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError, ValueError):
                accepted.settimeout(20)
                connection = (
                    tls.wrap_socket(accepted, server_side=True) if tls else accepted
                )
                with connection:
                    asked = _read(connection)
                    service.asked.append(asked)
                    turn = min(len(service.asked), len(behaviours)) - 1
                    behaviours[turn](connection, asked)
            accepted.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def _read(connection: socket.socket) -> Asked:
    with connection.makefile("rb") as stream:
        method, path, _ = stream.readline().decode().split(" ", 2)
        headers: dict[str, str] = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, body)
