"""The command sets that are served, read and written without a data set object.

Command sets are Implicit VR Little Endian with elements of group 0000 (PS3.7 6.3.1).
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dicom_node.core.errors import CannotUnderstand

C_STORE_RQ: Final = 0x0001
C_ECHO_RQ: Final = 0x0030
N_EVENT_REPORT_RQ: Final = 0x0100
_RESPONSE: Final = 0x8000
_NO_DATA_SET: Final = 0x0101
_RESPONDED_TO: Final = 0x0120

MAX_COMMAND_BYTES: Final = 64 * 1024
_COMMAND_LAST: Final = 0x03
_P_DATA_TF: Final = 0x04
PDV_OVERHEAD: Final = 6  # its length (4), context id and control header
FRAGMENT_OVERHEAD: Final = 12  # that of a PDV in a PDU of its own
_PDU_HEADER: Final = struct.Struct(">BBI")
_PDV_HEADER: Final = struct.Struct(">IBB")
_ELEMENT: Final = struct.Struct("<HHI")
_US: Final = struct.Struct("<HHIH")


@dataclass(frozen=True, slots=True)
class Command:
    """A DIMSE request.

    Args:
        sop_class_uid: Affected SOP Class UID as sent, with its padding.
        sop_instance_uid: Affected SOP Instance UID as sent, with its padding.
        event_type: Event Type ID as sent, of an N-EVENT-REPORT.
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: bytes
    sop_instance_uid: bytes
    event_type: bytes = b""


def read_command(encoded: bytes | bytearray) -> Command:
    """Read a command set.

    Raises:
        CannotUnderstand: it is not one of group 0000 with the elements that every
            request has.
    """
    encoded = bytes(encoded)
    return _command(encoded, _spans(encoded))


class Requests:
    """Reads the requests of one association, each of them much like the last."""

    def __init__(self) -> None:
        self._last: _Alike | None = None

    def read(self, encoded: bytes) -> Command:
        """Read a command set, see `read_command`."""
        last = self._last
        found = last.read(encoded) if last is not None else None
        if found is None:
            spans = _spans(encoded)
            found = _command(encoded, spans)
            self._last = _alike(found, encoded, spans)
        return found


@dataclass(frozen=True, slots=True)
class _Alike:
    """What a request has that differs from others in two values alone.

    Args:
        before: what comes before the value of Message ID.
        between: what comes behind it, before that of Affected SOP Instance UID.
        behind: what comes behind that, from `end` on.
    """

    command: Command
    before: bytes
    between: bytes
    end: int
    behind: bytes

    def read(self, encoded: bytes) -> Command | None:
        """Return the request; None if it differs in more."""
        at, command = len(self.before), self.command
        if (
            len(encoded) != self.end + len(self.behind)
            or not encoded.startswith(self.before)
            or not encoded.startswith(self.between, at + 2)
            or not encoded.startswith(self.behind, self.end)
        ):
            return None
        return Command(
            command.field,
            encoded[at] | encoded[at + 1] << 8,
            command.has_data_set,
            command.sop_class_uid,
            encoded[at + 2 + len(self.between) : self.end],
            command.event_type,
        )


def _alike(
    command: Command, encoded: bytes, spans: dict[int, tuple[int, int]]
) -> _Alike | None:
    """Take a request apart; None if it has no instance, or not in the usual order."""
    message_id, uid = spans[0x0110], spans.get(0x1000)
    if uid is None or uid[0] < message_id[1]:
        return None
    return _Alike(
        command,
        encoded[: message_id[0]],
        encoded[message_id[1] : uid[0]],
        uid[1],
        encoded[uid[1] :],
    )


def _spans(encoded: bytes) -> dict[int, tuple[int, int]]:
    """Return where the values of a command set begin and end."""
    found: dict[int, tuple[int, int]] = {}
    position, end = 0, len(encoded)
    while position + 8 <= end:
        group, element, length = _ELEMENT.unpack_from(encoded, position)
        position += 8 + length
        if group or position > end:
            raise CannotUnderstand("a command set is malformed")
        found[element] = (position - length, position)
    if position != end:
        raise CannotUnderstand("a command set is cut off")
    return found


def _command(encoded: bytes, spans: dict[int, tuple[int, int]]) -> Command:
    values = {element: encoded[start:stop] for element, (start, stop) in spans.items()}
    return Command(
        _short(values, 0x0100),
        _short(values, 0x0110),
        _short(values, 0x0800) != _NO_DATA_SET,
        values.get(0x0002, b""),
        values.get(0x1000, b""),
        values.get(0x1002, b""),
    )


def _short(values: dict[int, bytes], element: int) -> int:
    value = values.get(element, b"")
    if len(value) != 2:
        raise CannotUnderstand("a command set lacks an element of every request")
    return int.from_bytes(value, "little")


def read_uid(value: bytes) -> str:
    """Return a UID without its padding; what is no UID stays what it is."""
    return value.rstrip(b"\0 ").decode("ascii", "replace")


def response(command: Command, status: int) -> bytes:
    """Encode the response to a request, elements in order.

    Source: PS3.7 9.3.1.2 (C-STORE-RSP), 9.3.5.2 (C-ECHO-RSP), 10.3.1.2
    (N-EVENT-REPORT-RSP).
    """
    body = b"".join(
        (
            _text(0x0002, command.sop_class_uid),
            _US.pack(0, 0x0100, 2, command.field | _RESPONSE),
            _US.pack(0, 0x0120, 2, command.message_id),
            _US.pack(0, 0x0800, 2, _NO_DATA_SET),
            _US.pack(0, 0x0900, 2, status),
            _text(0x1000, command.sop_instance_uid),
            _event_type(command),
        )
    )
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def answer(
    command: Command, status: int, *, context_id: int, max_pdu_bytes: int
) -> bytes:
    """Return the PDUs of the response to a request.

    Args:
        max_pdu_bytes: see `pdus`.
    """
    uid = command.sop_instance_uid
    around = (
        _around(command.sop_class_uid, len(uid), status, context_id, max_pdu_bytes)
        if command.field == C_STORE_RQ
        else None
    )
    if around is None:
        encoded = response(command, status)
        return pdus(context_id, encoded, max_pdu_bytes=max_pdu_bytes)
    before, behind = around
    return before + command.message_id.to_bytes(2, "little") + behind + uid


@lru_cache(maxsize=256)  # of an association they differ in two values
def _around(
    sop_class_uid: bytes,
    uid_length: int,
    status: int,
    context_id: int,
    max_pdu_bytes: int,
) -> tuple[bytes, bytes] | None:
    """Return what comes around Message ID, up to an instance's UID, in one PDU."""
    command = Command(C_STORE_RQ, 0, True, sop_class_uid, b"1" * uid_length)
    encoded = response(command, status)
    whole = pdus(context_id, encoded, max_pdu_bytes=max_pdu_bytes)
    size = _PDU_HEADER.size + _PDV_HEADER.size
    if uid_length % 2 or not uid_length or len(whole) != len(encoded) + size:
        return None
    at = size + _spans(encoded)[_RESPONDED_TO][0]
    return whole[:at], whole[at + 2 : -uid_length]


def _text(element: int, value: bytes) -> bytes:
    if not value:
        return b""
    if len(value) % 2:
        value += b"\0"
    return _ELEMENT.pack(0, element, len(value)) + value


def _event_type(command: Command) -> bytes:
    if command.field != N_EVENT_REPORT_RQ or len(command.event_type) != 2:
        return b""
    return _text(0x1002, command.event_type)


def pdus(context_id: int, command_set: bytes, *, max_pdu_bytes: int) -> bytes:
    """Put a command set into P-DATA-TF PDUs that the peer can take.

    Args:
        max_pdu_bytes: of the value of a PDU, as the peer announced; 0 is unlimited.

    Source: PS3.8 9.3.5, D.1.
    """
    room = len(command_set)
    if max_pdu_bytes:
        room = max(1, min(room, max_pdu_bytes - PDV_OVERHEAD))
    parts = []
    for start in range(0, len(command_set), room):
        fragment = command_set[start : start + room]
        last = start + room >= len(command_set)
        control = _COMMAND_LAST if last else _COMMAND_LAST & 1
        size = len(fragment)
        parts += [
            _PDU_HEADER.pack(_P_DATA_TF, 0, size + PDV_OVERHEAD),
            _PDV_HEADER.pack(size + 2, context_id, control),
            fragment,
        ]
    return b"".join(parts)
