"""One query to the hospital's worklist: its answers as they come, no faster than read.

Nothing is kept: what nobody takes stays in the peer's socket. pynetdicom's SCU would
read on into a queue without a limit.
"""

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Self

from config.proxy import ProxyTable
from dicom_node.core.errors import ConfigError
from dicom_node.core.tls import TLSFiles
from dicom_node.worklist.proxy_messages import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MAX_PDU_BYTES,
    P_DATA_TF,
    RELEASE_RQ,
    Accepted,
    Assembly,
    Response,
    UpstreamError,
    associate_request,
    cancel_request,
    find_request,
    p_data,
    read_accept,
)
from dicom_node.worklist.proxy_tls import explain, secure

_LOOK_SECONDS: Final = 0.05
_RELEASE_SECONDS: Final = 2.0
_MAX_ANSWER_BYTES: Final = 4 << 20
_PDU: Final = struct.Struct(">BxI")


class Wish(Enum):
    """What the caller wants of a query that is under way."""

    ANSWERS = auto()
    CANCEL = auto()  # a C-CANCEL came
    NOTHING = auto()  # the caller is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamPeer:
    """Where the hospital's worklist is, and how it is called.

    Args:
        timeout_seconds: longest wait for the connection, and for each answer.
        tls: the files to speak TLS with; None without it.
    """

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeout_seconds: float
    tls: TLSFiles | None = None

    @classmethod
    def from_table(cls, table: ProxyTable, *, caller: str) -> "UpstreamPeer":
        """Read [worklist.proxy].

        Args:
            caller: AE title of who asks, where the proxy has none of its own.
        """
        files = TLSFiles(
            ca=table.upstream_ca,
            certificate=table.upstream_certificate,
            private_key=table.upstream_private_key,
            where="worklist.proxy upstream",
        )
        return cls(
            host=table.upstream_host,
            port=table.upstream_port,
            called_ae_title=table.upstream_ae_title,
            calling_ae_title=table.calling_ae_title or caller,
            timeout_seconds=table.timeout_seconds,
            tls=files if table.upstream_tls else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A C-FIND-RQ as it came.

    Args:
        identifier: encoded in `transfer_syntax`.
        priority: 0 medium, 1 high, 2 low (PS3.7 9.3.2.1).
    """

    message_id: int
    priority: int
    identifier: bytes
    transfer_syntax: str


class Upstream:
    """An association with the hospital's worklist; close it at the end.

    Raises:
        UpstreamError: there is none; the text says why.
    """

    def __init__(self, peer: UpstreamPeer, transfer_syntax: str) -> None:
        self._peer = peer
        others = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
        wanted = tuple(dict.fromkeys((transfer_syntax, *others)))
        self._until = time.monotonic() + peer.timeout_seconds
        self._socket = connect(peer)
        self._released = False
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted = self._associate(wanted)
        except BaseException:
            self.close()
            raise

    @property
    def transfer_syntax(self) -> str:
        """What it answers in; the query's own, if it takes that."""
        return self._accepted.transfer_syntax

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, query: Query, wish: Callable[[], Wish]) -> Iterator[Response]:
        """Yield the responses, the final one last; none follows a caller who is gone.

        Args:
            wish: asked whenever an answer is waited for.

        Raises:
            UpstreamError: it went away, or took too long.
        """
        self._put_off()
        command = find_request(query.message_id, priority=query.priority)
        self._send(*p_data(self._accepted, command, command=True))
        self._send(*p_data(self._accepted, query.identifier, command=False))
        assembly = Assembly(self._accepted, limit_bytes=_MAX_ANSWER_BYTES)
        cancelled = False
        while True:
            wanted = self._wait(wish, cancelled=cancelled)
            if wanted is Wish.NOTHING:
                return
            if wanted is Wish.CANCEL:
                cancelled = True
                cancel = cancel_request(query.message_id)
                self._send(*p_data(self._accepted, cancel, command=True))
                continue
            kind, content = self._receive()
            if kind != P_DATA_TF:
                raise UpstreamError("it ended the association before its last answer")
            for response in assembly.add(content):
                yield response
                self._put_off()
                if not response.pending:
                    self._release()
                    return

    def close(self) -> None:
        """End the association, with an abort unless it was released."""
        if not self._released:
            with contextlib.suppress(OSError):
                self._socket.settimeout(_LOOK_SECONDS)
                self._socket.sendall(ABORT)
        self._socket.close()

    def _associate(self, wanted: tuple[str, ...]) -> Accepted:
        peer = self._peer
        self._send(
            associate_request(
                called=peer.called_ae_title,
                calling=peer.calling_ae_title,
                transfer_syntaxes=wanted,
            )
        )
        kind, content = self._receive()
        if kind == ASSOCIATE_RJ:
            raise UpstreamError("it rejected the association: see its AE titles")
        if kind != ASSOCIATE_AC:
            raise UpstreamError("it did not answer the association request")
        return read_accept(_PDU.pack(kind, len(content)) + content, wanted)

    def _wait(self, wish: Callable[[], Wish], *, cancelled: bool) -> Wish:
        """Wait until there is something to read, or the caller wants something else."""
        while True:
            wanted = wish()
            if wanted is Wish.NOTHING or (wanted is Wish.CANCEL and not cancelled):
                return wanted
            # Asked even when there is something: a stream must not hide a C-CANCEL.
            if self._decrypted() or select.select(
                [self._socket], [], [], self._tick()
            ) != ([], [], []):
                return Wish.ANSWERS

    def _decrypted(self) -> bool:
        """Say whether TLS has read more than was taken; `select` does not know."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _tick(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise UpstreamError(f"no answer within {self._peer.timeout_seconds:g} s")
        return min(left, _LOOK_SECONDS)

    def _put_off(self) -> None:
        self._until = time.monotonic() + self._peer.timeout_seconds

    def _release(self) -> None:
        """Release politely; what the peer makes of it changes nothing."""
        self._until = time.monotonic() + _RELEASE_SECONDS
        with contextlib.suppress(UpstreamError):
            self._send(RELEASE_RQ)
            self._released = True
            self._receive()

    def _send(self, *pdus: bytes) -> None:
        try:
            for pdu in pdus:
                self._socket.settimeout(max(self._until - time.monotonic(), 0.001))
                self._socket.sendall(pdu)
        except OSError as error:
            raise UpstreamError(f"connection lost ({type(error).__name__})") from None

    def _receive(self) -> tuple[int, bytes]:
        """Read one PDU; return its type and its content."""
        kind, length = _PDU.unpack(self._read(_PDU.size))
        if length > MAX_PDU_BYTES:
            raise UpstreamError("it sent a PDU that is longer than was agreed")
        return kind, self._read(length)

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            left = self._until - time.monotonic()
            if left <= 0:
                raise UpstreamError(
                    f"no answer within {self._peer.timeout_seconds:g} s"
                )
            try:
                self._socket.settimeout(left)
                part = self._socket.recv(size - len(content))
            except TimeoutError:
                continue
            except OSError as error:
                name = type(error).__name__
                raise UpstreamError(f"connection lost ({name})") from None
            if not part:
                raise UpstreamError("it closed the connection")
            content += part
        return bytes(content)


def connect(peer: UpstreamPeer) -> socket.socket:
    """Open a connection, with TLS where that is spoken.

    Raises:
        UpstreamError: there is none; the text says why.
    """
    until = time.monotonic() + peer.timeout_seconds
    try:
        connection = socket.create_connection(
            (peer.host, peer.port), peer.timeout_seconds
        )
    except (OSError, UnicodeError) as error:
        raise UpstreamError(f"no connection ({type(error).__name__})") from None
    if peer.tls is None:
        return connection
    try:
        return secure(connection, peer.tls, host=peer.host, until=until)
    except (OSError, ValueError, ConfigError) as error:
        connection.close()
        raise UpstreamError(explain(error)) from None
