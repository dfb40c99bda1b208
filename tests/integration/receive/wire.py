"""A peer made of bytes, for what no well-behaved toolkit would send."""

import socket
import struct
from dataclasses import dataclass

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA, A_RELEASE_RP, A_ABORT = 2, 3, 4, 6, 7
STORE_RQ, ECHO_RQ = 0x0001, 0x0030


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_rq(
    contexts: dict[int, tuple[str, str]],
    *,
    called: str = "AINODE",
    calling: str = "RAW",
) -> bytes:
    offered = b"".join(
        _item(
            0x20,
            bytes((context_id, 0, 0, 0))
            + _item(0x30, abstract.encode())
            + _item(0x40, transfer.encode()),
        )
        for context_id, (abstract, transfer) in contexts.items()
    )
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3.4")
    return pdu(
        1,
        struct.pack(">HH", 1, 0)
        + called.encode().ljust(16)
        + calling.encode().ljust(16)
        + bytes(32)
        + _item(0x10, b"1.2.840.10008.3.1.1.1")
        + offered
        + _item(0x50, user),
    )


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, element, len(value)) + value


def uid(value: str) -> bytes:
    encoded = value.encode()
    return encoded + b"\0" * (len(encoded) % 2)


def command(
    field: int, *, sop_class: str, instance: str = "", dataset: bool = False
) -> bytes:
    body = _element(0x0002, uid(sop_class)) + _element(0x0100, struct.pack("<H", field))
    body += _element(0x0110, struct.pack("<H", 1))
    body += _element(0x0700, struct.pack("<H", 0)) if dataset else b""
    body += _element(0x0800, struct.pack("<H", 0 if dataset else 0x0101))
    body += _element(0x1000, uid(instance)) if instance else b""
    return _element(0, struct.pack("<I", len(body))) + body


def pdv(context_id: int, control: int, fragment: bytes) -> bytes:
    return struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment


def message(context_id: int, command_set: bytes, dataset: bytes | None = None) -> bytes:
    """A whole DIMSE message in PDUs of at most 16 KiB."""
    pdus = [pdu(P_DATA, pdv(context_id, 3, command_set))]
    if dataset is not None:
        blocks = [dataset[i : i + 16000] for i in range(0, len(dataset), 16000)] or [
            b""
        ]
        pdus += [
            pdu(P_DATA, pdv(context_id, 2 if i == len(blocks) - 1 else 0, block))
            for i, block in enumerate(blocks)
        ]
    return b"".join(pdus)


OPEN: list["RawPeer"] = []


@dataclass
class RawPeer:
    """One connection."""

    connection: socket.socket

    @classmethod
    def connect(cls, port: int, *, source: str = "127.0.0.1") -> "RawPeer":
        connection = socket.create_connection(
            ("127.0.0.1", port), timeout=10, source_address=(source, 0)
        )
        OPEN.append(cls(connection))
        return OPEN[-1]

    def associate(self, contexts: dict[int, tuple[str, str]]) -> None:
        self.connection.sendall(associate_rq(contexts))
        kind, _ = self.read()
        assert kind == A_ASSOCIATE_AC

    def read(self) -> tuple[int, bytes]:
        """Return the next PDU; (0, b"") when the connection is closed."""
        try:
            head = self._exactly(6)
            kind, _, length = struct.unpack(">BBI", head)
            return kind, self._exactly(length)
        except (EOFError, ConnectionError):
            return 0, b""

    def status(self) -> int | None:
        """Return the status of the next response, None if the peer hung up."""
        kind, body = self.read()
        if kind != P_DATA:
            return None
        position, values = 6, {}
        while position + 8 <= len(body):
            _, element, length = struct.unpack_from("<HHI", body, position)
            values[element] = body[position + 8 : position + 8 + length]
            position += 8 + length
        return int.from_bytes(values[0x0900], "little")

    def _exactly(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            block = self.connection.recv(size - len(received))
            if not block:
                raise EOFError
            received += block
        return received

    def close(self) -> None:
        self.connection.close()
