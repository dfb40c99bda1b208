"""Text as HL7 v2 fields: separators and control characters escaped."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from dicom_node.core.types import CodedConcept
from dicom_node.worklist.order import Issuer

SEPARATORS: Final = "|^~\\&"
# Chapter 2.7.1; a control character as its byte, so that none breaks a segment or
# the frame around the message.
_ESCAPES: Final = {
    ord("|"): "\\F\\",
    ord("^"): "\\S\\",
    ord("~"): "\\R\\",
    ord("\\"): "\\E\\",
    ord("&"): "\\T\\",
    **{code: f"\\X{code:02X}\\" for code in (*range(0x20), 0x7F)},
}
# C1 controls and the line separators of Unicode, which some readers break lines at.
_OTHER_BREAKS: Final = re.compile("[\x80-\x9f\u2028\u2029]")
_NULL: Final = '""'  # as a whole field it asks the receiver to delete what it has
_MAX_TEXT: Final = 250
# DICOM's name of a coding scheme and that of HL7 table 0396, where they differ.
_SCHEMES: Final = {"UMLS": "UML"}
_GROUPS: Final = "AIP"  # alphabetic, ideographic, phonetic: HL7 table 0465
_UNKNOWN_NAME: Final = "^^^^^^U"  # HL7 table 0200: unspecified


def escape(text: str) -> str:
    """Escape a text so that nothing in it separates anything."""
    if text == _NULL:
        return ""
    return _OTHER_BREAKS.sub(" ", text).translate(_ESCAPES)


def components(*parts: str, separator: str = "^") -> str:
    """Join escaped parts, without empty ones at the end."""
    return separator.join(parts).rstrip(separator)


def coded(concept: CodedConcept) -> str:
    """Write a concept as CE or CWE."""
    scheme = _SCHEMES.get(concept.scheme, concept.scheme)
    meaning = concept.meaning[:_MAX_TEXT]
    return components(escape(concept.value), escape(meaning), escape(scheme))


def designator(text: str) -> str:
    """Write what a site gave as NAME or NAME^OID^ISO as HD."""
    return components(*(escape(part.strip()) for part in text.split("^")))


def identifier(text: str, issuer: Issuer, kind: str) -> str:
    """Write an identifier with its assigning authority as CX."""
    authority = components(
        escape(issuer.namespace),
        escape(issuer.universal_id),
        escape(issuer.universal_id_type),
        separator="&",
    )
    return components(escape(text), "", "", authority, escape(kind))


def entity(text: str, issuer: Issuer) -> str:
    """Write an identifier of an order or a device as EI."""
    return components(
        escape(text),
        escape(issuer.namespace),
        escape(issuer.universal_id),
        escape(issuer.universal_id_type),
    )


def person_name(name: str, codec: str) -> str:
    """Write a DICOM person name as XPN, a repetition for each component group.

    A group that the character set cannot hold is left out if there is another.

    Source: PS3.5 6.2.1 (family, given, middle, prefix, suffix), HL7 v2.5.1 2.A.88
    (family, given, middle, suffix, prefix).
    """
    groups = [
        (kind, group) for kind, group in zip(_GROUPS, name.split("="), strict=False)
    ]
    named = [(kind, group) for kind, group in groups if group.strip(" ^")]
    fitting = [one for one in named if _fits(one[1], codec)] or named[:1]
    alone = len(fitting) == 1 and fitting[0][0] == "A"
    written = [_name(group, "" if alone else kind) for kind, group in fitting]
    return "~".join(filter(None, written)) or _UNKNOWN_NAME


def moment(at: datetime) -> str:
    """Write a time as TS in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


def number(value: float, digits: int) -> str:
    """Write a number as NM: no exponent, no zeros at the end."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def segment(name: str, *fields: tuple[int, str]) -> str:
    """Write a segment from its fields by their positions, from 1."""
    filled = dict(fields)
    last = max((position for position, text in fields if text), default=0)
    return "|".join([name, *(filled.get(n, "") for n in range(1, last + 1))])


def encode(segments: Iterable[str], codec: str) -> bytes:
    """Write a message: each segment ends with CR; what does not fit becomes "?"."""
    text = "".join(f"{line}\r" for line in segments)
    return text.encode(codec, "replace")


def _name(group: str, kind: str) -> str:
    family, given, middle, prefix, suffix = (
        escape(part.strip()) for part in f"{group}^^^^".split("^")[:5]
    )
    tail = ("", "L", kind) if kind else ()
    return components(family, given, middle, suffix, prefix, *tail)


def _fits(text: str, codec: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
