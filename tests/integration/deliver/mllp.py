"""An MLLP receiver that can do what receivers should not."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
# Answers a message on a connection, or does whatever else it does.
Behaviour = Callable[[socket.socket, bytes], None]


def acknowledge(message: bytes, code: str = "AA", *, control_id: str = "") -> bytes:
    """Make the acknowledgement of a message, without its frame."""
    header = message.split(CR)[0].decode().split("|")
    answer = [
        f"MSH|^~\\&|RIS|HOSP|AINODE|RAD|20261122173225||ACK^R01^ACK|A1|P|{header[11]}",
        f"MSA|{code}|{control_id or header[9]}",
    ]
    return "".join(f"{line}\r" for line in answer).encode()


def framed(content: bytes) -> bytes:
    """Put a message into its frame."""
    return VT + content + FS + CR


def answering(code: str) -> Behaviour:
    """Answer every message with this code."""

    def answer(connection: socket.socket, message: bytes) -> None:
        connection.sendall(framed(acknowledge(message, code)))

    return answer


class Receiver:
    """Takes connections one after the other, and keeps the messages it was sent."""

    def __init__(self, behave: Behaviour, context: ssl.SSLContext | None) -> None:
        self.messages: list[bytes] = []
        self._behave = behave
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(20)
                self._talk(connection)

    def _talk(self, plain: socket.socket) -> None:
        connection = plain
        if self._context is not None:
            connection = self._context.wrap_socket(plain, server_side=True)
        with connection:
            message = _read_frame(connection)
            if message:
                self.messages.append(message)
                self._behave(connection, message)


def _read_frame(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(FS + CR):
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    assert received.startswith(VT)
    return received[1:-2]


@contextmanager
def receiving(
    behave: Behaviour, context: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver(behave, context)
    try:
        yield receiver
    finally:
        receiver.stop()
