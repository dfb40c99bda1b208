"""PDUs and command sets from plain bytes: what any peer could send (PS3.7, PS3.8)."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

APPLICATION_CONTEXT: Final = b"1.2.840.10008.3.1.1.1"
VERIFICATION: Final = "1.2.840.10008.1.1"
CT: Final = "1.2.840.10008.5.1.4.1.1.2"
MR: Final = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
PRIVATE: Final = "1.3.46.670589.5.0.99"
IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
JPEG_2000: Final = "1.2.840.10008.1.2.4.90"
RLE: Final = "1.2.840.10008.1.2.5"

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA = 1, 2, 3, 4
STORE_RQ, STORE_RSP, ECHO_RQ = 0x0001, 0x8001, 0x0030
NO_DATASET: Final = 0x0101
# Bits of the message control header (PS3.8 E.2).
COMMAND, LAST = 1, 2


def pdu(kind: int, body: bytes) -> bytes:
    """Return a PDU of any type (PS3.8 9.3.1)."""
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    """Return an item or sub-item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


RELEASE_RQ: Final = pdu(5, bytes(4))
RELEASE_RP: Final = pdu(6, bytes(4))
ABORT: Final = pdu(7, bytes(4))


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context as offered (PS3.8 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] = (EXPLICIT,)

    def encode(self) -> bytes:
        """Return the item."""
        return item(
            0x20,
            bytes((self.context_id, 0, 0, 0))
            + item(0x30, self.abstract_syntax.encode())
            + b"".join(
                item(0x40, syntax.encode()) for syntax in self.transfer_syntaxes
            ),
        )


CONTEXTS: Final = (
    Context(1, VERIFICATION, (IMPLICIT,)),
    Context(3, CT, (EXPLICIT,)),
    Context(5, MR, (IMPLICIT,)),
    Context(7, CT, (BIG_ENDIAN,)),
)


def user_item(kind: int, body: bytes) -> bytes:
    """Return a user information sub-item of any type."""
    return item(kind, body)


def max_length(value: int) -> bytes:
    """Return the Maximum Length sub-item (PS3.8 D.1)."""
    return item(0x51, struct.pack(">I", value))


def window(invoked: int, performed: int) -> bytes:
    """Return the Asynchronous Operations Window sub-item (PS3.7 D.3.3.3)."""
    return item(0x53, struct.pack(">HH", invoked, performed))


def role(sop_class_uid: str, scu: int, scp: int) -> bytes:
    """Return the SCP/SCU Role Selection sub-item (PS3.7 D.3.3.4)."""
    uid = sop_class_uid.encode()
    return item(0x54, struct.pack(">H", len(uid)) + uid + bytes((scu, scp)))


def extended(sop_class_uid: str, information: bytes) -> bytes:
    """Return the SOP Class Extended Negotiation sub-item (PS3.7 D.3.3.5)."""
    uid = sop_class_uid.encode()
    return item(0x56, struct.pack(">H", len(uid)) + uid + information)


def common_extended(sop_class_uid: str, service: str, *related: str) -> bytes:
    """Return the SOP Class Common Extended Negotiation sub-item (PS3.7 D.3.3.6)."""

    def counted(uid: str) -> bytes:
        return struct.pack(">H", len(uid)) + uid.encode()

    others = b"".join(counted(uid) for uid in related)
    return item(
        0x57,
        counted(sop_class_uid)
        + counted(service)
        + struct.pack(">H", len(others))
        + others,
    )


def user_identity(
    kind: int, primary: bytes, *, secondary: bytes = b"", answer: bool = False
) -> bytes:
    """Return the User Identity sub-item of a request (PS3.7 D.3.3.7)."""
    return item(
        0x58,
        bytes((kind, answer))
        + struct.pack(">H", len(primary))
        + primary
        + struct.pack(">H", len(secondary))
        + secondary,
    )


IMPLEMENTATION: Final = item(0x52, b"1.2.3.4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2), each part of which may be wrong."""

    contexts: tuple[Context, ...] = CONTEXTS
    user_items: tuple[bytes, ...] = (max_length(16384), IMPLEMENTATION)
    application_context: bytes = APPLICATION_CONTEXT
    called: bytes = b"AINODE".ljust(16)
    calling: bytes = b"RAW".ljust(16)
    protocol_version: int = 1
    reserved: bytes = bytes(32)
    more_items: bytes = b""

    def encode(self) -> bytes:
        """Return the PDU."""
        information = b"".join(self.user_items)
        return pdu(
            ASSOCIATE_RQ,
            struct.pack(">HH", self.protocol_version, 0)
            + self.called
            + self.calling
            + self.reserved
            + item(0x10, self.application_context)
            + b"".join(context.encode() for context in self.contexts)
            + (item(0x50, information) if information else b"")
            + self.more_items,
        )


def element(number: int, value: bytes) -> bytes:
    """Return an element of a command set, which is Implicit VR Little Endian."""
    group = number >> 16
    return struct.pack("<HHI", group, number & 0xFFFF, len(value)) + value


def uid_value(uid: str) -> bytes:
    """Return a UID padded to an even length (PS3.5 9.1)."""
    return uid.encode() + b"\0" * (len(uid) % 2)


def short(value: int) -> bytes:
    """Return the value of an element with VR US."""
    return struct.pack("<H", value)


def command_set(elements: Iterable[tuple[int, bytes]]) -> bytes:
    """Return a command set with its group length (PS3.7 6.3.1)."""
    body = b"".join(element(number, value) for number, value in elements)
    return element(0, struct.pack("<I", len(body))) + body


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A C-STORE-RQ's command set (PS3.7 9.3.1.1).

    Args:
        more: further elements, put among the others in the order of their tags.
        without: tags to leave out.
    """

    sop_instance_uid: str
    sop_class_uid: str = CT
    message_id: int = 1
    priority: int = 0
    dataset_type: int = 0
    more: tuple[tuple[int, bytes], ...] = ()
    without: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return the command set."""
        elements = {
            0x0002: uid_value(self.sop_class_uid),
            0x0100: short(STORE_RQ),
            0x0110: short(self.message_id),
            0x0700: short(self.priority),
            0x0800: short(self.dataset_type),
            0x1000: uid_value(self.sop_instance_uid),
        } | dict(self.more)
        return command_set(
            (tag, value)
            for tag, value in sorted(elements.items())
            if tag not in self.without
        )


def echo(message_id: int = 1, sop_class_uid: str = VERIFICATION) -> bytes:
    """Return a C-ECHO-RQ's command set (PS3.7 9.3.5.1)."""
    return command_set(
        [
            (0x0002, uid_value(sop_class_uid)),
            (0x0100, short(ECHO_RQ)),
            (0x0110, short(message_id)),
            (0x0800, short(NO_DATASET)),
        ]
    )


def pdv(context_id: int, control: int, fragment: bytes) -> bytes:
    """Return a Presentation Data Value item (PS3.8 9.3.5.1)."""
    return struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment


def split(content: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut bytes into fragments of these sizes; the rest is the last one."""
    fragments = []
    for size in sizes:
        fragments.append(content[:size])
        content = content[size:]
    return [*fragments, content]


def fragments(context_id: int, kind: int, pieces: Sequence[bytes]) -> list[bytes]:
    """Return a stream's PDVs; `kind` is COMMAND or 0."""
    last = len(pieces) - 1
    return [
        pdv(context_id, kind | (LAST if index == last else 0), piece)
        for index, piece in enumerate(pieces)
    ]


def message(
    context_id: int, command: bytes, dataset: bytes | None = None, *, size: int = 16378
) -> bytes:
    """Return a whole DIMSE message, one PDV of at most `size` bytes in each PDU."""
    values = fragments(context_id, COMMAND, [command])
    if dataset is not None:
        starts = range(0, max(len(dataset), 1), size)
        pieces = [dataset[start : start + size] for start in starts]
        values += fragments(context_id, 0, pieces)
    return b"".join(pdu(P_DATA, value) for value in values)
