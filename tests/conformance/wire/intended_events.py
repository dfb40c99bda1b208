"""The part of the table of intended differences that is Storage Commitment's."""

from typing import Final

# Clause, what only ours answers, what only pynetdicom answers.
Entry = tuple[str, tuple[str, ...], tuple[str, ...]]

_NO_ROLE: Final = (
    "PS3.4 J.3.3: the SCP of the service reports; to an SCU this node is none"
)
_ABORTED: Final = ("answer 1: aborted by user",)
_ANSWERED: Final = ("answer 1: *", "answer 2: released")


def _refused(clause: str, status: int) -> Entry:
    """Return an event that ours refuses and pynetdicom's handler is never asked of."""
    return clause, (f"answer 1: status {status:04X}",), ("answer 1: status 0000",)


def _not_let_in(contexts: tuple[int, ...], theirs: str) -> Entry:
    return (
        _NO_ROLE,
        tuple(f"answer 0: context {number}: result 3 -" for number in contexts),
        tuple(f"answer 0: context {number}: {theirs}" for number in contexts),
    )


EVENTS: Final[dict[str, Entry]] = {
    "commitment: the requestor is SCU": _not_let_in((1, 3), "result 1 -"),
    "commitment: the requestor is nothing": _not_let_in((1, 3), "result 1 -"),
    "commitment: no role": _not_let_in((1, 3), "result 0 *"),
    "commitment: the role of another class": _not_let_in((1, 3), "result 0 *"),
    "an unknown transaction": _refused(
        "PS3.7 10.1.1.1.8: invalid argument value", 0x0115
    ),
    "an event of an unknown type": _refused(
        "PS3.7 10.1.1.1.8: no such event type", 0x0113
    ),
    "an event of another instance": _refused(
        "PS3.7 10.1.1.1.8: no such SOP instance", 0x0112
    ),
    "an event without information": _refused(
        "PS3.7 10.1.1.1.8: no such argument", 0x0114
    ),
    "an event of no bytes": _refused("PS3.7 10.1.1.1.8: no such argument", 0x0114),
    "an event without a transaction": _refused(
        "PS3.4 J.3.3.1.1: Transaction UID is of type 1", 0x0115
    ),
    "an event that names nothing": _refused(
        "PS3.4 J.3.3.1.1: event 1 has a Referenced SOP Sequence", 0x0115
    ),
    "an event cut in an element": _refused(
        "PS3.7 10.1.1.1.8: mistyped argument", 0x0212
    ),
    "an event of random bytes": _refused("PS3.7 10.1.1.1.8: mistyped argument", 0x0212),
    "an event without a type": (
        "PS3.7 10.3.1.1: the element is mandatory, and nobody is left waiting",
        _ANSWERED,
        ("answer 1: released",),
    ),
    "an event of another class": (
        "PS3.7 10.1.1.1.8: no such SOP class; a response is that of the request",
        ("answer 1: *",),
        ("answer 1: *",),
    ),
    "an action on the commitment context": (
        "PS3.7 10.1.1: an operation that is not served is answered, with an A-ABORT",
        _ABORTED,
        _ANSWERED,
    ),
    "an event on a storage context": (
        "PS3.7 10.1.1: an operation that is not served is answered, with an A-ABORT",
        _ABORTED,
        _ANSWERED,
    ),
}
