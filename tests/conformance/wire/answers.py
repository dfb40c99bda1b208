"""What an acceptor says, decoded from its bytes into lines to compare."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tests.conformance.wire.pdu import COMMAND, LAST, P_DATA

# Each acceptor has its own: only that they are there is compared (PS3.7 D.3.3.2).
_OWN_VALUES: Final = {0x52: "implementation class UID", 0x55: "implementation version"}
_SOURCES: Final = {0: "user", 2: "provider"}
# Elements of a response that are one number (PS3.7 E.1).
_NUMBERS: Final = {
    0x0100: "command",
    0x0120: "message id",
    0x0800: "data set type",
    0x0900: "status",
}


class Readable(Protocol):
    """Where bytes come from."""

    def recv(self, size: int, /) -> bytes:
        """Return some bytes, none at the end."""


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU as received, or what came instead of one: CLOSED, SILENCE."""

    kind: int
    body: bytes


CLOSED: Final = Pdu(0, b"")
SILENCE: Final = Pdu(-1, b"")


def read_pdu(connection: Readable) -> Pdu:
    """Return the next PDU, or CLOSED, or SILENCE after the connection's timeout."""
    try:
        kind, _, length = struct.unpack(">BBI", _exactly(connection, 6))
        return Pdu(kind, _exactly(connection, length))
    except TimeoutError:
        return SILENCE
    except (EOFError, ConnectionError):
        return CLOSED


def _exactly(connection: Readable, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        block = connection.recv(size - len(received))
        if not block:
            raise EOFError
        received += block
    return bytes(received)


def finishes_message(answer: Pdu) -> bool:
    """Say whether a response ends here; responses of this service have no data set."""
    return answer.kind == P_DATA and any(
        control & LAST for _, control, _ in pdvs(answer.body)
    )


def pdvs(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield context id, message control header and fragment (PS3.8 9.3.5.1)."""
    position = 0
    while position < len(body):
        length, context_id, control = struct.unpack_from(">IBB", body, position)
        yield context_id, control, body[position + 6 : position + 4 + length]
        position += 4 + length


def facts(answers: Sequence[Pdu]) -> list[str]:
    """Return one line for each fact of a conversation, none of them twice."""
    lines: list[str] = []
    command = b""
    number = 0
    for answer in answers:
        if answer.kind != P_DATA:
            lines += [f"answer {number}: {line}" for line in _describe(answer)]
            number += 1
            continue
        for context_id, control, fragment in pdvs(answer.body):
            command += fragment
            if not control & COMMAND:
                lines.append(f"answer {number}: a data set nobody asked for")
            elif control & LAST:
                found = _command(context_id, command)
                lines += [f"answer {number}: {line}" for line in found]
                command = b""
                number += 1
    return lines


def statuses(answers: Sequence[Pdu]) -> list[int]:
    """Return the status of each response."""
    command, found = b"", []
    for answer in answers:
        for _, control, fragment in pdvs(answer.body) if answer.kind == P_DATA else ():
            command += fragment
            if control & LAST:
                values = dict(elements(command))
                found.append(int.from_bytes(values[0x0900], "little"))
                command = b""
    return found


def elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tags and values of a command set in their order."""
    position = 0
    while position < len(command):
        group, number, length = struct.unpack_from("<HHI", command, position)
        position += 8
        yield group << 16 | number, command[position : position + length]
        position += length


def _command(context_id: int, command: bytes) -> Iterator[str]:
    yield f"context {context_id}"
    found = list(elements(command))
    yield "elements " + " ".join(f"{tag:08X}" for tag, _ in found)
    for tag, value in found:
        number = int.from_bytes(value, "little")
        name = _NUMBERS.get(tag)
        yield f"{name} {number:04X}" if name else f"({tag:08X}) = {value.hex()}"
    if found and found[0][0] == 0:
        claimed = int.from_bytes(found[0][1], "little")
        yield f"group length {'right' if claimed == len(command) - 12 else 'wrong'}"


def _describe(answer: Pdu) -> Iterator[str]:
    body = answer.body
    if answer.kind == 2:
        yield from _accepted(body)
    elif answer.kind == 3:
        yield "rejected, result {} source {} reason {}".format(*body[1:4])
    elif answer.kind == 6:
        yield "released"
    elif answer.kind == 7:
        yield f"aborted by {_SOURCES.get(body[2], body[2])}"
    elif answer in {CLOSED, SILENCE}:
        yield "closed" if answer is CLOSED else "silent"
    else:
        yield f"PDU of type {answer.kind}"


def _accepted(body: bytes) -> Iterator[str]:
    yield f"accepted, protocol version {int.from_bytes(body[:2], 'big')}"
    yield f"called {body[4:20]!r} calling {body[20:36]!r} reserved {body[36:68]!r}"
    for kind, value in _items(body[68:]):
        if kind == 0x21:
            inner = dict(_items(value[4:]))
            syntax = inner.get(0x40, b"").decode() if value[2] == 0 else "-"
            yield f"context {value[0]}: result {value[2]} {syntax}"
        elif kind == 0x50:
            for sub_kind, sub_value in _items(value):
                yield _user_item(sub_kind, sub_value)
        else:
            yield f"item {kind:02X}: {value!r}"


def _user_item(kind: int, value: bytes) -> str:
    if kind in _OWN_VALUES:
        return f"{_OWN_VALUES[kind]} {'there' if value else 'empty'}"
    if kind == 0x51:
        return f"maximum length {int.from_bytes(value, 'big')}"
    return f"user item {kind:02X}: {value!r}"


def _items(body: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(body):
        kind, _, length = struct.unpack_from(">BBH", body, position)
        position += 4
        yield kind, body[position : position + length]
        position += length
