"""The few PDUs a sender needs, encoded by hand; standard library only.

A second implementation beside pynetdicom and the node's own, and without their cost.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Final, Protocol

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
VERIFICATION: Final = "1.2.840.10008.1.1"
_IMPLEMENTATION_CLASS_UID: Final = "1.2.826.0.1.3680043.8.498.2"
_CONTEXT_ID: Final = 1
_MAX_LENGTH: Final = 131072

_ASSOCIATE_RQ: Final = 0x01
_ASSOCIATE_AC: Final = 0x02
_P_DATA: Final = 0x04
RELEASE_RQ: Final = b"\x05\0\0\0\0\x04\0\0\0\0"
ABORT: Final = b"\x07\0\0\0\0\x04\0\0\0\0"
_C_STORE_RQ: Final = 0x0001
_C_ECHO_RQ: Final = 0x0030
_NO_DATASET: Final = 0x0101
_COMMAND: Final = 0x01  # bits of the message control header (PS3.8 E.2)
_LAST: Final = 0x02
_PDV_OVERHEAD: Final = 6  # its length, context ID and control header
_ELEMENT: Final = struct.Struct("<HHI")
_PDU: Final = struct.Struct(">BxI")


class WireError(Exception):
    """The peer answered what it must not."""


class Connection(Protocol):
    """A TCP or TLS connection."""

    def sendall(self, data: bytes | bytearray, /) -> None:
        """Send all of it."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Receive up to so many bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Titles:
    """Who calls whom, and with what."""

    calling: str
    called: str
    sop_class_uid: str = VERIFICATION
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN


def associate(connection: Connection, titles: Titles) -> int:
    """Open an association with one context; return the length of PDUs to send.

    Raises:
        WireError: the peer refused.

    Source: PS3.8 9.3.2, 9.3.3, D.1.
    """
    connection.sendall(_associate_rq(titles))
    kind, body = read_pdu(connection)
    if kind != _ASSOCIATE_AC:
        raise WireError(f"the association was refused (PDU type {kind:#04x})")
    # 0 is no limit (PS3.8 D.1.1); ours is then as good as any.
    return _accepted_length(body[68:]) or _MAX_LENGTH


def store_request(sop_class_uid: str, sop_instance_uid: str, message_id: int) -> bytes:
    """Encode a C-STORE-RQ's command set as one PDU (PS3.7 9.3.1.1)."""
    return _command(
        (0x0002, _uid(sop_class_uid)),
        (0x0100, struct.pack("<H", _C_STORE_RQ)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0700, struct.pack("<H", 0)),  # priority medium
        (0x0800, struct.pack("<H", 0)),
        (0x1000, _uid(sop_instance_uid)),
    )


def echo_request(message_id: int) -> bytes:
    """Encode a C-ECHO-RQ (PS3.7 9.3.5.1)."""
    return _command(
        (0x0002, _uid(VERIFICATION)),
        (0x0100, struct.pack("<H", _C_ECHO_RQ)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0800, struct.pack("<H", _NO_DATASET)),
    )


def dataset_pdus(dataset: bytes | bytearray, max_length: int) -> bytearray:
    """Cut a data set into PDUs of the largest length that the peer takes."""
    step = max_length - _PDV_OVERHEAD
    made = bytearray()
    for begin in range(0, len(dataset), step):
        part = dataset[begin : begin + step]
        control = _LAST if begin + step >= len(dataset) else 0
        made += _PDU.pack(_P_DATA, len(part) + _PDV_OVERHEAD)
        made += struct.pack(">IBB", len(part) + 2, _CONTEXT_ID, control)
        made += part
    return made


def position(offset: int, length: int, max_length: int) -> int:
    """Say where a part of the data set lies in what `dataset_pdus` made of it.

    Raises:
        ValueError: it lies in two PDUs.
    """
    step = max_length - _PDV_OVERHEAD
    pdu, inside = divmod(offset, step)
    if inside + length > step:
        raise ValueError("this part of the data set lies in two PDUs")
    return pdu * (step + _PDV_OVERHEAD + _PDU.size) + _PDV_OVERHEAD + _PDU.size + inside


def read_status(connection: Connection, message_id: int) -> int:
    """Read the response to a request and return its status (PS3.7 E.1).

    Raises:
        WireError: it is no response to this message.
    """
    kind, body = read_pdu(connection)
    if kind != _P_DATA:
        raise WireError(f"no response but a PDU of type {kind:#04x}")
    elements = dict(_elements(body[_PDV_OVERHEAD:]))
    if elements.get(0x0120) != struct.pack("<H", message_id):
        raise WireError("a response to another message")
    (status,) = struct.unpack("<H", elements[0x0900])
    return int(status)


def read_pdu(connection: Connection) -> tuple[int, bytes]:
    """Read one PDU: its type, and what follows its length.

    Raises:
        WireError: the connection ended.
    """
    kind, length = _PDU.unpack(_read_exactly(connection, _PDU.size))
    return kind, _read_exactly(connection, length)


def connect(host: str, port: int, *, seconds: float = 60.0) -> socket.socket:
    """Open a connection that sends every write at once."""
    connection = socket.create_connection((host, port), timeout=seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read_exactly(connection: Connection, size: int) -> bytes:
    found = connection.recv(size) if size else b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise WireError("the peer closed the connection")
        found += more
    return found


def _associate_rq(titles: Titles) -> bytes:
    context = struct.pack(">BxBB", _CONTEXT_ID, 0, 0) + b"".join(
        (
            _item(0x30, titles.sop_class_uid.encode("ascii")),
            _item(0x40, titles.transfer_syntax_uid.encode("ascii")),
        )
    )
    user = _item(0x51, struct.pack(">I", _MAX_LENGTH))
    user += _item(0x52, _IMPLEMENTATION_CLASS_UID.encode("ascii"))
    body = struct.pack(
        ">H2x16s16s32x",
        1,
        titles.called.ljust(16).encode("ascii"),
        titles.calling.ljust(16).encode("ascii"),
    )
    body += _item(0x10, APPLICATION_CONTEXT.encode("ascii"))
    body += _item(0x20, context) + _item(0x50, user)
    return _PDU.pack(_ASSOCIATE_RQ, len(body)) + body


def _accepted_length(items: bytes) -> int:
    """Check the one context and return the Maximum Length Received."""
    accepted, length = False, 0
    for kind, value in _items(items):
        if kind == 0x21:
            accepted = value[2] == 0
        if kind == 0x50:
            found = dict(_items(value)).get(0x51, bytes(4))
            (length,) = struct.unpack(">I", found)
    if not accepted:
        raise WireError("the presentation context was refused")
    return length


def _items(content: bytes) -> list[tuple[int, bytes]]:
    found, begin = [], 0
    while begin + 4 <= len(content):
        kind, length = struct.unpack_from(">BxH", content, begin)
        found.append((kind, content[begin + 4 : begin + 4 + length]))
        begin += 4 + length
    return found


def _elements(command: bytes) -> list[tuple[int, bytes]]:
    found, begin = [], 0
    while begin + _ELEMENT.size <= len(command):
        _group, element, length = _ELEMENT.unpack_from(command, begin)
        begin += _ELEMENT.size
        found.append((element, command[begin : begin + length]))
        begin += length
    return found


def _command(*elements: tuple[int, bytes]) -> bytes:
    body = b"".join(
        _ELEMENT.pack(0, element, len(value)) + value for element, value in elements
    )
    body = _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body
    pdv = struct.pack(">IBB", len(body) + 2, _CONTEXT_ID, _COMMAND | _LAST) + body
    return _PDU.pack(_P_DATA, len(pdv)) + pdv


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _uid(value: str) -> bytes:
    """Encode a UID, padded to an even length (PS3.5 9.1)."""
    encoded = value.encode("ascii")
    return encoded + b"\0" * (len(encoded) % 2)
