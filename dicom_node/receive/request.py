"""An A-ASSOCIATE-RQ PDU as bytes: what pynetdicom's decoder does not forgive.

It ends at items of later editions, which an acceptor has to ignore, at AE titles that
should be rejected with the reason of the standard, and at names that cannot be UIDs,
of which each should cost its presentation context and not the association.

Source: PS3.8 9.3.2 (Table 9-11), 9.3.3.2 (a result for each presentation context), D.2
(unrecognized sub-items are ignored), F.1 (at most 64 characters).
"""

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.admission import CALLED_UNKNOWN, CALLING_UNKNOWN, Rejection

_HEADER: Final = struct.Struct(">BxI")
_ITEM: Final = struct.Struct(">BxH")
# The called and calling AE titles and what is reserved: an A-ASSOCIATE-AC has to send
# these bytes back as they came (PS3.8 9.3.3, Table 9-17).
ECHOED: Final = slice(10, 74)
CALLED: Final = slice(10, 26)
CALLING: Final = slice(26, 42)
_CONTEXT: Final = 0x20
_CONTEXT_HEAD: Final = 4  # the id and what is reserved
_NAMES: Final = frozenset((0x10, 0x30, 0x40))  # of the application, of syntaxes
_MAX_NAME: Final = 64
_USER_INFORMATION: Final = 0x50
_ITEMS: Final = frozenset((0x10, _CONTEXT, _USER_INFORMATION))
# Implementation class and version, role, extended and common extended negotiation:
# where their UID or text starts. Nothing is lost with one that is none.
_TEXTS: Final = {0x52: 0, 0x54: 2, 0x55: 0, 0x56: 2, 0x57: 2}
_ROLES: Final = 0x54
_VERSION_NAME: Final = 0x55
_MAX_VERSION_NAME: Final = 16
_USER_ITEMS: Final = range(0x51, 0x5A)
_USER_IDENTITY: Final = 0x58
# User-Identity-Type (PS3.7 Table D.3-14); a later one is as good as none.
_IDENTITY_KINDS: Final = range(1, 6)
# What stands in for a title that nobody can have, so that the rest can be read.
_NO_TITLE: Final = b"NONE".ljust(16)


@dataclass(frozen=True, slots=True)
class Request:
    """What can be said of a request before it is decoded.

    Args:
        encoded: the PDU with what pynetdicom reads, and nothing else.
        fault: why its AE titles cannot be those of anybody.
    """

    encoded: bytes
    fault: Rejection | None


def read_request(encoded: bytes) -> Request:
    """Drop the items that are not known, and look at AE titles and names.

    Titles that end in zeros, as some senders pad them, are taken as if in spaces. A
    name that cannot be a UID gives way to one that is none and nobody supports.

    Raises:
        CannotUnderstand: an item does not end where its PDU or its item does.
    """
    if len(encoded) < ECHOED.stop:
        raise CannotUnderstand("the association request is cut off")
    called, calling = _title(encoded[CALLED]), _title(encoded[CALLING])
    fault = None if calling else CALLING_UNKNOWN
    fault = fault if called else CALLED_UNKNOWN
    body = (
        encoded[_HEADER.size : CALLED.start]
        + (called or _NO_TITLE)
        + (calling or _NO_TITLE)
        + encoded[CALLING.stop : ECHOED.stop]
        + b"".join(_known_items(encoded[ECHOED.stop :], _ITEMS))
    )
    return Request(_HEADER.pack(encoded[0], len(body)) + body, fault)


def _title(field: bytes) -> bytes:
    """Return an AE title of 16 bytes, none if its characters are not allowed."""
    title = field.rstrip(b"\0 ")
    allowed = title.strip() and all(0x20 <= c <= 0x7E and c != 0x5C for c in title)
    return title.ljust(16) if allowed else b""


def _known_items(content: bytes, known: Container[int]) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        if position + _ITEM.size > len(content):
            raise CannotUnderstand("an item of the association request is cut off")
        kind, length = _ITEM.unpack_from(content, position)
        end = position + _ITEM.size + length
        if end > len(content):
            raise CannotUnderstand("an item of the association request is cut off")
        value = content[position + _ITEM.size : end]
        if kind == _USER_INFORMATION:
            value = b"".join(_known_items(value, _USER_ITEMS))
        elif kind == _CONTEXT:
            syntaxes = b"".join(_known_items(value[_CONTEXT_HEAD:], _NAMES))
            value = value[:_CONTEXT_HEAD] + syntaxes
        elif kind in _NAMES:
            value = _name(value)
        if kind in known and not _is_to_be_ignored(kind, value):
            yield _ITEM.pack(kind, len(value)) + value
        position = end


def _name(value: bytes) -> bytes:
    """Return a name; of one empty, too long or not ASCII what can be shown."""
    name = value.strip(b"\0 ")
    if name.isascii() and 0 < len(name) <= _MAX_NAME:
        return name
    shown = bytes(c for c in value if c in b"0123456789.")
    return shown[: _MAX_NAME - 1].rstrip(b".") + b"."  # no UID ends in a dot


def _is_to_be_ignored(kind: int, value: bytes) -> bool:
    """Say whether a user information item is of a later edition or says nothing."""
    if kind == _USER_IDENTITY:
        return bool(value) and value[0] not in _IDENTITY_KINDS
    if kind not in _TEXTS:
        return False
    start = _TEXTS[kind]
    stop = start + int.from_bytes(value[:start]) if start else len(value)
    if kind == _ROLES and any(role > 1 for role in value[stop:]):
        return True  # PS3.7 Table D.3-9 knows 0 and 1
    text = value[start:stop].rstrip(b"\0 ")
    most = _MAX_VERSION_NAME if kind == _VERSION_NAME else _MAX_NAME
    return not text.isascii() or len(text) > most
