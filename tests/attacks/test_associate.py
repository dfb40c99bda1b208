"""Association requests that no toolkit would make."""

import itertools
import struct
from collections.abc import Iterator, Mapping

from tests.attacks.attack import Plan, attack
from tests.attacks.peer import (
    ABORTED,
    ACCEPTED,
    APPLICATION_CONTEXT,
    CLOSED,
    REJECTED,
    Answer,
    Offer,
    Peer,
    context_item,
    context_items,
    item,
)
from tests.attacks.receiver import MIB, Receiver
from tests.integration.receive.wire import CT, EXPLICIT, IMPLICIT, VERIFICATION, pdu

VERIFY = context_item(1, VERIFICATION.encode(), [IMPLICIT.encode()])
STORE = context_item(3, CT.encode(), [EXPLICIT.encode()])
CONTEXT_BODY = VERIFY[4:]
NODE_SAYS_NO = {REJECTED, ABORTED, CLOSED}
ANY = NODE_SAYS_NO | {ACCEPTED}


def sized(kind: int, length: int, body: bytes) -> bytes:
    """Encode an item whose length is a lie."""
    return struct.pack(">BBH", kind, 0, length) + body


def text(value: bytes) -> bytes:
    """Encode a value behind its 16 bit length."""
    return struct.pack(">H", len(value)) + value


def identity(kind: int, primary: bytes, secondary: bytes = b"") -> bytes:
    """Encode a user identity item that wants an answer (PS3.7 D.3.3.7)."""
    return item(0x58, bytes((kind, 1)) + text(primary) + text(secondary))


def many(count: int, syntaxes: int) -> list[bytes]:
    """Offer so many contexts; beyond 128 their ids come again."""
    names = [f"1.2.840.10008.1.2.4.{n}".encode() for n in range(50, 50 + syntaxes - 1)]
    ids = itertools.cycle(range(1, 256, 2))
    return [
        context_item(next(ids), CT.encode(), [EXPLICIT.encode(), *names])
        for _ in range(count)
    ]


ROLE = item(0x54, text(CT.encode()) + b"\1\1")
EXTENDED = item(0x56, text(CT.encode()) + b"\2\0\0\0\0\0")
WINDOW = item(0x53, struct.pack(">HH", 0, 0))
COMMON = item(0x57, text(CT.encode()) + text(b"1.2.3") + text(b""))

USER_ITEMS: dict[str, tuple[bytes, ...]] = {
    "an unknown user item": (item(0x99, b"later"),),
    "role selection": (ROLE,),
    "role selection twice": (ROLE, ROLE),
    "role selection longer than it is": (item(0x54, text(b"1.2")[:2] + b"1"),),
    "role selection of nothing": (item(0x54, b""),),
    "role selection without roles": (item(0x54, text(CT.encode())),),
    "extended negotiation": (EXTENDED,),
    "extended negotiation cut": (item(0x56, b"\xff\xff1.2"),),
    "extended negotiation of 60 KiB": (item(0x56, text(b"1.2") + bytes(60_000)),),
    "common extended negotiation": (COMMON,),
    "common extended negotiation cut": (item(0x57, text(CT.encode())),),
    "asynchronous operations window 0": (WINDOW,),
    "asynchronous operations window cut": (item(0x53, b"\0"),),
    "maximum length again": (item(0x51, struct.pack(">I", 1)),),
    "maximum length cut": (item(0x51, b"\0\0"),),
    "implementation class of 1,000 digits": (item(0x52, b"1" * 1000),),
    "implementation version of 1,000 characters": (item(0x55, b"\x1b[31m" * 200),),
    "user identity of no kind": (identity(0, b""),),
    "user identity of kind 9": (identity(9, b"x"),),
    "user identity with NUL": (identity(2, b"a\0b\n", b"\0"),),
    "user identity cut": (item(0x58, b"\2\1\xff\xffme"),),
    "user identity of 64 KiB": (identity(2, b"u" * 32_000, b"p" * 32_000),),
    "1,000 user items": (item(0x99, b""),) * 1000,
    "a user item longer than its parent": (sized(0x54, 0xFFFF, b"1.2"),),
}
OFFERS: dict[str, Offer] = {
    "no context": Offer(contexts=()),
    "context with no transfer syntax": Offer(
        contexts=[VERIFY, context_item(3, CT.encode(), [])]
    ),
    "context with no abstract syntax": Offer(
        contexts=[VERIFY, item(0x20, b"\3\0\0\0" + item(0x40, IMPLICIT.encode()))]
    ),
    "context with two abstract syntaxes": Offer(
        contexts=[item(0x20, b"\1\0\0\0" + item(0x30, CT.encode()) + CONTEXT_BODY[4:])]
    ),
    "context of four bytes": Offer(contexts=[VERIFY, item(0x20, b"\3\0\0\0")]),
    "context of no bytes": Offer(contexts=[VERIFY, item(0x20, b"")]),
    "even context id": Offer(
        contexts=[VERIFY, context_item(2, CT.encode(), [EXPLICIT.encode()])]
    ),
    "context id 0": Offer(
        contexts=[VERIFY, context_item(0, CT.encode(), [EXPLICIT.encode()])]
    ),
    "one context id twice": Offer(contexts=[VERIFY, VERIFY, STORE, STORE]),
    "129 contexts": Offer(contexts=many(129, 1)),
    "1,000 contexts": Offer(contexts=many(1000, 1)),
    "a syntax that is no UID": Offer(
        contexts=[VERIFY, context_item(3, b"\xff\0'; DROP TABLE", [b"\x1b[2J"])]
    ),
    "a syntax of no bytes": Offer(contexts=[VERIFY, context_item(3, b"", [b""])]),
    "a syntax of 10,000 digits": Offer(
        contexts=[VERIFY, context_item(3, b"1." * 5000, [b"2." * 5000])]
    ),
    "a context longer than the request": Offer(
        contexts=[VERIFY, sized(0x20, 0xFFFF, CONTEXT_BODY)]
    ),
    "a syntax longer than its context": Offer(
        contexts=[item(0x20, b"\1\0\0\0" + sized(0x30, 0xFFFF, b"1.2"))]
    ),
    "user information twice": Offer(further=item(0x50, ROLE)),
    "application context twice": Offer(further=item(0x10, APPLICATION_CONTEXT)),
    "four items of 64 KiB": Offer(further=item(0x99, bytes(65_000)) * 3),
    "more than 256 KiB": Offer(further=item(0x99, bytes(65_000)) * 5),
    "a byte behind the last item": Offer(further=b"\0"),
    "half an item behind the last item": Offer(further=b"\x50\0\0"),
    "titles of NUL": Offer(calling=bytes(16)),
    "titles of spaces": Offer(calling=b" " * 16),
    "titles that are no text": Offer(calling=bytes(range(128, 144))),
    "title with an escape sequence": Offer(calling=b"\x1b[2J\x1b]0;x\x07\n\r"),
    "maximum length 1": Offer(max_pdu=1),
    "maximum length 6": Offer(max_pdu=6),
    "maximum length of 4 GiB": Offer(max_pdu=0xFFFFFFFF),
} | {name: Offer(user=items) for name, items in USER_ITEMS.items()}


def cut_requests() -> Iterator[tuple[str, bytes]]:
    """Cut a request's body at every length, with a PDU length that fits."""
    body = Offer(user=(ROLE, EXTENDED, WINDOW, COMMON, identity(2, b"u", b"p")))
    whole = body.encode()[6:]
    for size in range(0, len(whole), 3):
        yield f"cut to {size} bytes", pdu(1, whole[:size])


def answers(receiver: Receiver, requests: Mapping[str, bytes]) -> dict[str, Answer]:
    """Return the answer to each request; the connection must be over afterwards."""
    found = {}
    for name, request in requests.items():
        with Peer(receiver.port) as peer:
            peer.send(request)
            found[name] = answer = peer.answer()
            assert answer.kind in ANY, name
            if answer.kind == ACCEPTED and name != "maximum length 1":
                check_association(peer, answer, name)
            peer.finish()
            while peer.answer().kind != CLOSED:
                pass
    return found


def check_association(peer: Peer, answer: Answer, name: str) -> None:
    """Whoever is accepted, with Verification on context 1, gets an echo or an abort."""
    if answer.context_results().get(1) == 0 and "maximum length" not in name:
        assert peer.echo() in (0, 0x0122, -1), name


def summary(found: dict[str, Answer]) -> str:
    """Count the kinds of answers and name the longest wait."""
    kinds = [answer.kind for answer in found.values()]
    longest = max(answer.seconds for answer in found.values())
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    return f"{counts}, within {longest:.2f} s"


def test_every_wrong_request_is_answered(receiver: Receiver) -> None:
    plan = Plan(
        id="B19c",
        attack="A-ASSOCIATE-RQ with wrong, missing, huge or doubled items",
        how=f"{len(OFFERS)} hand-made requests",
        expected="accepted, rejected or aborted within 3 s, no exception",
        peak_bytes=16 * MIB,
    )
    with attack(receiver, plan) as seen:
        requests = {name: offer.encode() for name, offer in OFFERS.items()}
        seen.saw(summary(answers(receiver, requests)))


def test_a_request_cut_at_every_item_is_answered(receiver: Receiver) -> None:
    plan = Plan(
        id="B19d",
        attack="A-ASSOCIATE-RQ cut anywhere",
        how="every third length, with a PDU length that fits",
        expected="rejected or aborted within 3 s, no exception",
        peak_bytes=16 * MIB,
    )
    with attack(receiver, plan) as seen:
        found = answers(receiver, dict(cut_requests()))
        assert {answer.kind for answer in found.values()} & NODE_SAYS_NO
        seen.saw(summary(found))


def test_what_the_standard_wants_ignored_is_ignored(receiver: Receiver) -> None:
    """PS3.8 9.3.1: unknown items; 9.3.2: only bit 0 of the version counts."""
    for offer in (
        Offer(user=(item(0x99, b"later"),)),
        Offer(further=item(0x99, b"later")),
        Offer(version=0xFFFF),
        Offer(contexts=[*context_items(), context_item(5, b"1.2.3", [b"1.2.4"])]),
    ):
        with Peer(receiver.port) as peer:
            answer = peer.associate(offer)
            assert answer.kind == ACCEPTED
            assert peer.echo() == 0
            assert peer.release().kind == "released"


def test_a_rejection_has_the_standards_reason(receiver: Receiver) -> None:
    """PS3.8 9.3.4: result, source, reason."""
    for expected, offer in (
        ((1, 1, 2), Offer(application_context=b"1.2.840.10008.3.1.1.2")),
        ((1, 1, 7), Offer(called=b"SOMEBODY")),
        ((1, 1, 7), Offer(called=b" " * 16)),
        ((1, 2, 2), Offer(version=2)),
    ):
        with Peer(receiver.port) as peer:
            answer = peer.associate(offer)
            assert answer.kind == REJECTED, expected
            assert tuple(answer.body[1:4]) == expected


def test_128_contexts_are_all_answered(receiver: Receiver) -> None:
    with Peer(receiver.port) as peer:
        answer = peer.associate(Offer(contexts=many(128, 30)))
        assert answer.kind == ACCEPTED
        found = answer.context_results()
        assert found == dict.fromkeys(range(1, 256, 2), 0)
        assert peer.release().kind == "released"


def test_contexts_that_are_all_refused_still_make_an_association(
    receiver: Receiver,
) -> None:
    """PS3.8 7.1.1.14: the results say what was refused, the association stands."""
    with Peer(receiver.port) as peer:
        find = context_item(1, b"1.2.840.10008.5.1.4.1.2.1.1", [IMPLICIT.encode()])
        video = context_item(3, CT.encode(), [b"1.2.840.10008.1.2.4.100"])
        answer = peer.associate(Offer(contexts=[find, video]))
        assert answer.kind == ACCEPTED
        assert answer.context_results() == {1: 3, 3: 4}
