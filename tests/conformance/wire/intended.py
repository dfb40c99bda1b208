"""Where our acceptor answers otherwise than pynetdicom on purpose, and why.

A case that is not here has to come out the same in every fact. For one that is here,
each fact that differs has to match a pattern of its entry, and each pattern a fact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from tests.conformance.wire.intended_events import EVENTS
from tests.conformance.wire.pair import Difference


@dataclass(frozen=True, slots=True)
class Intended:
    """A difference on purpose.

    Args:
        clause: of the standard, that makes our answer right, or leaves it to us.
        ours: patterns of the facts that hold for our acceptor alone.
        theirs: the same for pynetdicom's.
    """

    clause: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


# Facts in short.
ABORTED: Final = ("answer ?: aborted by *",)
RELEASED: Final = ("answer ?: released",)
CLOSED: Final = ("answer ?: closed",)
SILENT: Final = ("answer ?: silent",)
TAKEN: Final = ("answer 1: status 0000", "stored 0: *")
RESPONSE: Final = ("answer 1: *", "answer 2: released")


def refused(status: int) -> tuple[str, ...]:
    """Return the one fact of a store that is refused where pynetdicom takes it."""
    return (f"answer 1: status {status:04X}",)


CANNOT_UNDERSTAND: Final = "PS3.4 B.2.3: Error: Cannot Understand, 0xC000"
INVALID_REQUEST: Final = "PS3.8 9.3.2: the PDU is invalid, Evt19 (9.2.3)"
INVALID_PDU: Final = "PS3.8 9.2.3: an invalid PDU is Evt19, answered with A-ABORT"
PROTOCOL_ERROR: Final = "PS3.7 C.5.12: a DIMSE protocol error is answered, not ignored"

NEGOTIATION: Final = {
    "native before compressed": Intended(
        "PS3.8 9.3.3.2: any one of the offered; ours is the requestor's first",
        ("answer 0: context 1: result 0 1.2.840.10008.1.2.1",),
        ("answer 0: context 1: result 0 1.2.840.10008.1.2.4.90",),
    ),
    "a retired class": Intended(
        "PS3.4 B.5: a conforming SCP may support further classes",
        ("answer 0: context 1: result 0 *",),
        ("answer 0: context 1: result 3 -",),
    ),
    "a context without syntax": Intended(INVALID_REQUEST, ABORTED, SILENT),
    "an even context id": Intended(INVALID_REQUEST, ABORTED, SILENT),
    "context id 0": Intended(INVALID_REQUEST, ABORTED, SILENT),
    "user identity of an unknown kind": Intended(
        "PS3.7 D.3.3.7, PS3.8 D.2: a kind of a later edition is ignored like an item",
        ("answer 0: *", "answer 1: released"),
        SILENT,
    ),
    "an abstract syntax of 65 characters": Intended(
        "PS3.8 9.3.3.2: each context has its own result, 3 is of its abstract syntax",
        ("answer 0: *", "answer 1: released"),
        ABORTED,
    ),
    "the same context id twice": Intended(
        "PS3.8 7.1.1.13: a context id is unique within the association",
        ("answer 0: aborted by user",),
        ("answer 0: *", "answer 1: released"),
    ),
    **{
        case: Intended(
            "PS3.8 9.3.4: application-context-name-not-supported",
            ("answer 0: rejected, result 1 source 1 reason 2",),
            ("answer 0: *", "answer 1: released"),
        )
        for case in (
            "an application context of another kind",
            "nothing after the titles",
        )
    },
    **{
        case: Intended(
            "PS3.8 9.3.1, D.2: items that are not known are ignored",
            ("answer 0: *", "answer 1: released"),
            ("answer 0: aborted by user",),
        )
        for case in ("an item of an unknown type", "a user item of an unknown type")
    },
    "called title ending in zeros": Intended(
        "PS3.8 9.3.2 pads with spaces; old senders that pad with zeros are borne",
        ("answer 0: *", "answer 1: released"),
        ("answer 0: aborted by user",),
    ),
    **{
        f"{which} title with a space before it": Intended(
            "PS3.8 9.3.3: the titles are sent back as they were received",
            ("answer 0: called *",),
            ("answer 0: called *",),
        )
        for which in ("called", "calling")
    },
    "reserved bytes that are not zero": Intended(
        "PS3.8 9.3.3: what is reserved is sent back as it was received",
        ("answer 0: called * reserved *",),
        ("answer 0: called * reserved *",),
    ),
    "called title of spaces": Intended(
        "PS3.8 9.3.4: called-AE-title-not-recognized",
        ("answer 0: rejected, result 1 source 1 reason 7",),
        ("answer 0: aborted by user",),
    ),
    **{
        f"calling title {case}": Intended(
            "PS3.8 9.3.4: calling-AE-title-not-recognized",
            ("answer 0: rejected, result 1 source 1 reason 3",),
            ("answer 0: aborted by user",),
        )
        for case in ("of spaces", "with a backslash", "not in ASCII")
    },
    "protocol versions 1 and 2": Intended(
        "PS3.8 9.3.2: of the protocol version only bit 0 is tested",
        ("answer 0: *", "answer 1: released"),
        ("answer 0: rejected, result 1 source 2 reason 2",),
    ),
}
LENGTHS: Final = {
    "no room for a fragment": Intended(
        "PS3.8 D.1: no PDU that the sender takes can hold a fragment",
        ("answer 0: aborted by user",),
        ("answer 0: *", "answer 1: aborted by user"),
    ),
    "a PDU above the limit": Intended(
        "PS3.8 D.1: exceeding the maximum length is a protocol error",
        ABORTED,
        ("answer 1: *", "answer 2: released", "stored 0: *"),
    ),
}
FRAGMENTS: Final = {
    "the data set before the command's end": Intended(
        "PS3.7 6.3.1: a message is a command set followed by a data set",
        ABORTED,
        (*RESPONSE, "stored 0: *"),
    ),
    "a data set on two contexts": Intended(
        "PS3.8 E.1: one context for every fragment of a message",
        ABORTED,
        (*RESPONSE, "stored 0: *"),
    ),
    "a command on two contexts": Intended(
        "PS3.8 E.1: one context for every fragment of a message",
        ABORTED,
        (*RESPONSE, "stored 0: *"),
    ),
    "three messages in one PDU": Intended(
        "PS3.8 E.1 forbids it to senders; pynetdicom drops all but the first",
        ("answer 2: *", "answer 3: *", "answer 4: released"),
        ("answer 2: released",),
    ),
    "the end of one message and the next in one PDU": Intended(
        "PS3.8 E.1 forbids it to senders; pynetdicom drops all but the first",
        ("answer 2: *", "answer 3: released"),
        ("answer 2: released",),
    ),
}
REFUSED: Final = {
    **{
        case: Intended(CANNOT_UNDERSTAND, refused(0xC000), TAKEN)
        for case in (
            "no data set announced",
            "a data set of no bytes",
            "a data set of one byte",
            "a data set of two bytes",
            "a data set cut in an element",
            "a data set in another syntax",
        )
    },
    "another instance than the data set's": Intended(
        "PS3.4 B.2.3: Error: Data Set does not match SOP Class, 0xA900",
        refused(0xA900),
        TAKEN,
    ),
    "another class than the context's": Intended(
        "PS3.7 9.1.1.1.8: Refused: SOP Class Not Supported", refused(0x0122), TAKEN
    ),
    "a store on the verification context": Intended(
        "PS3.7 9.1.1.1.8: Refused: SOP Class Not Supported", refused(0x0122), TAKEN
    ),
    "verification as a store": Intended(
        "PS3.7 9.3.1.2: a C-STORE is answered with a C-STORE-RSP",
        (
            "answer 1: elements *",
            "answer 1: (00000000) = *",
            "answer 1: command 8001",
            "answer 1: status 0122",
            "answer 1: (00001000) = *",
        ),
        (
            "answer 1: elements *",
            "answer 1: (00000000) = *",
            "answer 1: command 8030",
            "answer 1: status 0000",
        ),
    ),
    "no affected class": Intended(
        "PS3.7 9.3.1.1: the element is mandatory, and nobody is left waiting",
        (*RESPONSE, *refused(0x0122)),
        RELEASED,
    ),
    "no affected instance": Intended(
        "PS3.7 9.3.1.1: the element is mandatory, and nobody is left waiting",
        (*RESPONSE, *refused(0xC000)),
        RELEASED,
    ),
    **{
        case: Intended(
            "PS3.8 9.3.8: invalid-PDU-parameter value, said by the provider",
            ("answer 1: aborted by provider",),
            ("answer 1: aborted by user",),
        )
        for case in (
            "a store on a context that was never offered",
            "a store on a context that was refused",
            "an echo on a context that was never offered",
        )
    },
}
MESSAGES: Final = {
    "priority 3": Intended(
        "PS3.7 9.3.1.1: a value that is not defined; nothing here depends on it",
        (*RESPONSE, "stored 0: *"),
        ABORTED,
    ),
    "a UID padded with a space": Intended(
        "PS3.7 9.1.1.1.6: the value of the response is that of the request",
        ("answer 1: (00000000) = *", "answer 1: (00001000) = *"),
        ("answer 1: (00000000) = *", "answer 1: (00001000) = *"),
    ),
    "a cancel of nothing": Intended(
        "PS3.7 9.3.2.3: it cancels a C-FIND, C-GET or C-MOVE alone", ABORTED, RELEASED
    ),
    "a P-DATA without values": Intended(
        "PS3.8 9.3.5: one or more values", ABORTED, RELEASED
    ),
    "bytes after the last value": Intended(
        "PS3.8 9.2.3: read as they come, the value before them is a message",
        ("answer 1: *", "answer 2: aborted by provider"),
        ("answer 1: aborted by provider",),
    ),
    "no message id": Intended(
        "PS3.7 9.3.1.1: without its id nothing can be answered", ABORTED, RELEASED
    ),
    "no command field": Intended(PROTOCOL_ERROR, ABORTED, CLOSED),
    "no data set type": Intended(PROTOCOL_ERROR, ABORTED, CLOSED),
    "an unknown command": Intended(PROTOCOL_ERROR, ABORTED, CLOSED),
    "no command at all": Intended(PROTOCOL_ERROR, ABORTED, CLOSED),
    "a command set of zeros": Intended(PROTOCOL_ERROR, ABORTED, CLOSED),
    "a response that nobody asked for": Intended(PROTOCOL_ERROR, ABORTED, RELEASED),
    "an echo of a storage class": Intended(
        "PS3.7 9.1.5.1.4: Refused: SOP Class Not Supported",
        (*RESPONSE, "answer 1: status 0122"),
        ABORTED,
    ),
    "an echo on a storage context": Intended(
        "PS3.7 9.1.5.1.4: Refused: SOP Class Not Supported",
        ("answer 1: status 0122",),
        ("answer 1: status 0000",),
    ),
    "a value of one byte": Intended(INVALID_PDU, ABORTED, CLOSED),
}

INTENDED: Final[dict[str, Intended]] = (
    NEGOTIATION
    | LENGTHS
    | FRAGMENTS
    | REFUSED
    | MESSAGES
    | {case: Intended(*entry) for case, entry in EVENTS.items()}
)


def surprises(case: str, difference: Difference) -> list[str]:
    """Return what the table does not say about a case, and what it says wrongly."""
    entry = INTENDED.get(case, Intended("", (), ()))
    return [
        *_compare("only ours", difference.ours, entry.ours),
        *_compare("only pynetdicom", difference.theirs, entry.theirs),
    ]


def _compare(whose: str, lines: list[str], patterns: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        if not any(fnmatchcase(line, pattern) for pattern in patterns):
            yield f"{whose}: {line}"
    for pattern in patterns:
        if not any(fnmatchcase(line, pattern) for line in lines):
            yield f"{whose}, no longer so: {pattern}"
