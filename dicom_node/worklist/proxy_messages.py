"""What the proxy says upstream, as bytes: one association, one C-FIND.

Source: PS3.8 9.3 (PDUs), PS3.7 9.3.2 (C-FIND) and 6.3.1 (command sets).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from dicom_node.core.errors import NodeError
from dicom_node.part10.head import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)

MODALITY_WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
_APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"

MAX_PDU_BYTES: Final = 1 << 17
_SHORTEST_PDU_BYTES: Final = 1024  # of what a peer may ask for, see `p_data`
P_DATA_TF: Final = 4
ASSOCIATE_AC: Final = 2
ASSOCIATE_RJ: Final = 3
RELEASE_RQ: Final = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
ABORT: Final = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"

_C_FIND_RQ: Final = 0x0020
_C_FIND_RSP: Final = 0x8020
_C_CANCEL_RQ: Final = 0x0FFF
_NO_DATA_SET: Final = 0x0101
_COMMAND: Final = 1
_LAST: Final = 2
_PDU: Final = struct.Struct(">BxI")
_PDV: Final = struct.Struct(">IBB")
_ELEMENT: Final = struct.Struct("<HHI")
_US: Final = struct.Struct("<H")


class UpstreamError(NodeError):
    """The hospital's worklist did not answer as DICOM asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A C-FIND-RSP.

    Args:
        comment: Error Comment (0000,0902) as it came.
        identifier: as it came, None without one.
    """

    status: int
    comment: bytes = b""
    identifier: bytes | None = None

    @property
    def pending(self) -> bool:
        """Whether others follow (PS3.4 K.4.1.1.4)."""
        return self.status in (0xFF00, 0xFF01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the peer accepted.

    Args:
        max_pdu_bytes: that it takes.
    """

    context_id: int
    transfer_syntax: str
    max_pdu_bytes: int


def associate_request(
    *, called: str, calling: str, transfer_syntaxes: tuple[str, ...]
) -> bytes:
    """Encode an A-ASSOCIATE-RQ, with a context for each transfer syntax."""
    request = A_ASSOCIATE()
    request.application_context_name = _APPLICATION_CONTEXT
    request.called_ae_title, request.calling_ae_title = called, calling
    contexts = []
    for number, syntax in enumerate(transfer_syntaxes):
        context = build_context(MODALITY_WORKLIST_FIND, syntax)
        context.context_id = 2 * number + 1
        contexts.append(context)
    request.presentation_context_definition_list = contexts
    length = MaximumLengthNotification()
    length.maximum_length_received = MAX_PDU_BYTES
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    request.user_information = [length, implementation, version]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(request)
    return bytes(pdu.encode())


def read_accept(pdu: bytes, transfer_syntaxes: tuple[str, ...]) -> Accepted:
    """Read an A-ASSOCIATE-AC; of several contexts the first is taken.

    Raises:
        UpstreamError: it accepts none of them, or is no such PDU.
    """
    try:
        decoded = A_ASSOCIATE_AC()
        decoded.decode(pdu)
        items = {
            item.presentation_context_id: item
            for item in decoded.presentation_context
            if item.result == 0
        }
        information = decoded.user_information
        limit = information.maximum_length if information else 0
    except Exception:  # noqa: BLE001 - the decoder raises whatever a peer's bytes cause
        raise UpstreamError("its answer to the association is malformed") from None
    for number, syntax in enumerate(transfer_syntaxes):
        if 2 * number + 1 in items:
            return Accepted(
                context_id=2 * number + 1,
                transfer_syntax=syntax,
                max_pdu_bytes=max(limit or MAX_PDU_BYTES, _SHORTEST_PDU_BYTES),
            )
    raise UpstreamError("it does not serve Modality Worklist Information Model FIND")


def find_request(message_id: int, *, priority: int) -> bytes:
    """Encode the command set of a C-FIND-RQ with an identifier."""
    return _command(
        (0x0002, MODALITY_WORKLIST_FIND.encode()),
        (0x0100, _US.pack(_C_FIND_RQ)),
        (0x0110, _US.pack(message_id)),
        (0x0700, _US.pack(priority)),
        (0x0800, _US.pack(1)),
    )


def cancel_request(message_id: int) -> bytes:
    """Encode the command set of a C-CANCEL-RQ."""
    return _command(
        (0x0100, _US.pack(_C_CANCEL_RQ)),
        (0x0120, _US.pack(message_id)),
        (0x0800, _US.pack(_NO_DATA_SET)),
    )


def _command(*elements: tuple[int, bytes]) -> bytes:
    body = b""
    for element, value in elements:
        value += b"\0" * (len(value) % 2)
        body += _ELEMENT.pack(0, element, len(value)) + value
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def p_data(accepted: Accepted, content: bytes, *, command: bool) -> Iterator[bytes]:
    """Yield the P-DATA-TF PDUs of a command set or of a data set."""
    size = min(accepted.max_pdu_bytes, MAX_PDU_BYTES) - _PDV.size
    for start in range(0, max(len(content), 1), size):
        part = content[start : start + size]
        control = _COMMAND if command else 0
        if start + size >= len(content):
            control |= _LAST
        pdv = _PDV.pack(len(part) + 2, accepted.context_id, control) + part
        yield _PDU.pack(P_DATA_TF, len(pdv)) + pdv


class Assembly:
    """Puts the fragments of responses together, up to a limit.

    Args:
        limit_bytes: of one command or data set.
    """

    def __init__(self, accepted: Accepted, *, limit_bytes: int) -> None:
        self._accepted, self._limit = accepted, limit_bytes
        self._command, self._data = bytearray(), bytearray()
        self._head: dict[int, bytes] | None = None

    def add(self, pdu: bytes) -> Iterator[Response]:
        """Take the content of a P-DATA-TF; yield the responses that are whole.

        Raises:
            UpstreamError: it is malformed, too long, or no C-FIND-RSP.
        """
        position = 0
        while position < len(pdu):
            if position + _PDV.size > len(pdu):
                raise UpstreamError("a fragment of its answer is cut off")
            length, context_id, control = _PDV.unpack_from(pdu, position)
            end = position + 4 + length
            if length < 2 or end > len(pdu) or context_id != self._accepted.context_id:
                raise UpstreamError("a fragment of its answer is malformed")
            response = self._take(pdu[position + _PDV.size : end], control)
            if response is not None:
                yield response
            position = end

    def _take(self, part: bytes, control: int) -> Response | None:
        is_command = bool(control & _COMMAND)
        if is_command == (self._head is not None):
            raise UpstreamError("command and identifier of an answer are out of order")
        kept = self._command if is_command else self._data
        kept += part
        if len(kept) > self._limit:
            raise UpstreamError("an answer is longer than the proxy takes")
        if not control & _LAST:
            return None
        if is_command:
            head = self._head = _read_command(bytes(self._command))
            if _number(head, 0x0800) != _NO_DATA_SET:
                return None
            return self._whole(head, None)
        return self._whole(self._head or {}, bytes(self._data))

    def _whole(self, head: dict[int, bytes], identifier: bytes | None) -> Response:
        self._command, self._data, self._head = bytearray(), bytearray(), None
        status = _number(head, 0x0900)
        if _number(head, 0x0100) != _C_FIND_RSP or status is None:
            raise UpstreamError("it answered with another message than C-FIND-RSP")
        response = Response(
            status=status, comment=head.get(0x0902, b""), identifier=identifier
        )
        if response.pending and not identifier:
            raise UpstreamError("a pending answer has no identifier")
        return response


def _read_command(encoded: bytes) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    position = 0
    while position < len(encoded):
        if position + _ELEMENT.size > len(encoded):
            raise UpstreamError("a command set of its answer is cut off")
        group, element, length = _ELEMENT.unpack_from(encoded, position)
        start = position + _ELEMENT.size
        position = start + length
        if group or position > len(encoded):
            raise UpstreamError("a command set of its answer is malformed")
        values[element] = encoded[start:position]
    return values


def _number(values: dict[int, bytes], element: int) -> int | None:
    value = values.get(element, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None
