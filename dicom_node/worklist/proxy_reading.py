"""Reading from a caller of the proxy, bounded in length and time."""

import errno
import socket
import time
from typing import Final

_MAX_PDU_BYTES: Final = 1 << 18
_MAX_QUERY_BYTES: Final = 1 << 20
_PDU_SECONDS: Final = 30.0
_READ_BYTES: Final = 1 << 16
_P_DATA_TF: Final = 4


class BoundedReading:
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
