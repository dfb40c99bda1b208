"""A-ASSOCIATE-RQ in every form: ours answers as pynetdicom does, item by item."""

import struct
from collections.abc import Iterator

import pytest

from tests.conformance.wire.intended import surprises
from tests.conformance.wire.pair import Dialogue, Pair, running_pair
from tests.conformance.wire.pdu import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLEMENTATION,
    IMPLICIT,
    JPEG_2000,
    MR,
    PRIVATE,
    RLE,
    SECONDARY_CAPTURE,
    VERIFICATION,
    Context,
    Offer,
    common_extended,
    extended,
    item,
    max_length,
    role,
    user_identity,
    user_item,
    window,
)

# pydicom warns of UIDs that are none; only in tests is that an error.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MPEG_2 = "1.2.840.10008.1.2.4.100"
RETIRED_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6"
STORAGE_SERVICE = "1.2.840.10008.4.2"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
# Level of support, level of digital signature, element coercion (PS3.4 B.3.1).
STORAGE_INFORMATION = bytes(6)


def syntaxes(*offered: str, abstract_syntax: str = CT) -> Offer:
    return Offer(contexts=(Context(1, abstract_syntax, offered),))


def user(*items: bytes) -> Offer:
    return Offer(user_items=(max_length(16384), IMPLEMENTATION, *items))


CONTEXT_CASES = {
    "explicit VR": syntaxes(EXPLICIT),
    "implicit VR": syntaxes(IMPLICIT),
    "explicit before implicit": syntaxes(EXPLICIT, IMPLICIT),
    "implicit before explicit": syntaxes(IMPLICIT, EXPLICIT),
    "big endian": syntaxes(BIG_ENDIAN),
    "deflated": syntaxes(DEFLATED),
    "compressed before native": syntaxes(JPEG_2000, EXPLICIT, IMPLICIT),
    "native before compressed": syntaxes(EXPLICIT, JPEG_2000),
    "one of two is known": syntaxes(MPEG_2, RLE),
    "no syntax is known": syntaxes(MPEG_2),
    "no syntax is known, several": syntaxes(MPEG_2, "1.2.3.4", MPEG_2),
    "the same syntax twice": syntaxes(EXPLICIT, EXPLICIT),
    "thirty syntaxes": syntaxes(*(f"1.2.3.{n}" for n in range(29)), EXPLICIT),
    "verification, explicit only": syntaxes(EXPLICIT, abstract_syntax=VERIFICATION),
    "verification, compressed": syntaxes(RLE, abstract_syntax=VERIFICATION),
    "a query class": syntaxes(EXPLICIT, abstract_syntax=STUDY_FIND),
    "a query class beside a storage class": Offer(
        contexts=(Context(1, STUDY_FIND), Context(3, CT), Context(5, STUDY_FIND))
    ),
    "a private class": syntaxes(EXPLICIT, abstract_syntax=PRIVATE),
    "a retired class": syntaxes(EXPLICIT, abstract_syntax=RETIRED_ULTRASOUND),
    "one class in many contexts": Offer(
        contexts=tuple(
            Context(2 * number + 1, CT, (syntax,))
            for number, syntax in enumerate(
                (EXPLICIT, IMPLICIT, MPEG_2, JPEG_2000, RLE, BIG_ENDIAN)
            )
        )
    ),
    "ids from high to low": Offer(
        contexts=(Context(255, CT), Context(9, MR), Context(1, VERIFICATION))
    ),
    "128 contexts": Offer(
        contexts=tuple(
            Context(2 * number + 1, (CT, MR, SECONDARY_CAPTURE)[number % 3])
            for number in range(128)
        )
    ),
    "no context": Offer(contexts=()),
    "a context without syntax": syntaxes(),
    "an even context id": Offer(contexts=(Context(2, CT), Context(3, MR))),
    "context id 0": Offer(contexts=(Context(0, CT), Context(3, MR))),
    "the same context id twice": Offer(contexts=(Context(1, CT), Context(1, MR))),
    "an empty abstract syntax": syntaxes(EXPLICIT, abstract_syntax=""),
    "an abstract syntax that is none": syntaxes(EXPLICIT, abstract_syntax="CT image"),
    "an abstract syntax of 65 characters": syntaxes(
        EXPLICIT, abstract_syntax="1." + "2" * 63
    ),
    "an abstract syntax padded with zero": syntaxes(
        EXPLICIT, abstract_syntax=CT + "\0"
    ),
    "a transfer syntax padded with zero": syntaxes(EXPLICIT + "\0"),
    "a transfer syntax padded with a space": syntaxes(EXPLICIT + " "),
}

TITLE_CASES = {
    "called title unknown": Offer(called=b"OTHER".ljust(16)),
    "called title in lower case": Offer(called=b"ainode".ljust(16)),
    "called title with a space before it": Offer(called=b" AINODE".ljust(16)),
    "called title ending in zeros": Offer(called=b"AINODE".ljust(16, b"\0")),
    "called title of spaces": Offer(called=bytes(16).replace(b"\0", b" ")),
    "calling title of spaces": Offer(calling=b" " * 16),
    "calling title with a space before it": Offer(calling=b" RAW".ljust(16)),
    "calling title of 16 characters": Offer(calling=b"ABCDEFGHIJKLMNOP"),
    "calling title with a backslash": Offer(calling=b"A\\B".ljust(16)),
    "calling title not in ASCII": Offer(calling="MÜNCHEN".encode("latin-1").ljust(16)),
    "reserved bytes that are not zero": Offer(reserved=b"\xaa" * 32),
    "protocol version 2": Offer(protocol_version=2),
    "protocol versions 1 and 2": Offer(protocol_version=3),
    "protocol version 0": Offer(protocol_version=0),
    "an application context of another kind": Offer(application_context=b"1.2.3.4"),
    "an item of an unknown type": Offer(more_items=item(0x77, b"what is this")),
}

USER_CASES = {
    "no user information": Offer(user_items=()),
    "no maximum length": Offer(user_items=(IMPLEMENTATION,)),
    "maximum length alone": Offer(user_items=(max_length(16384),)),
    "an implementation version": user(user_item(0x55, b"TEST_1")),
    "a user item of an unknown type": user(user_item(0x7F, b"from the future")),
    "a window of 1 and 1": user(window(1, 1)),
    "a window of 5 and 7": user(window(5, 7)),
    "a window without bounds": user(window(0, 0)),
    "role: SCU": user(role(CT, 1, 0)),
    "role: SCP": user(role(CT, 0, 1)),
    "role: both": user(role(CT, 1, 1)),
    "role: none": user(role(CT, 0, 0)),
    "role of a class that was not offered": user(role(SECONDARY_CAPTURE, 1, 1)),
    "roles of three classes": user(
        role(CT, 1, 1), role(MR, 0, 1), role(VERIFICATION, 1, 0)
    ),
    "extended: storage": user(extended(CT, STORAGE_INFORMATION)),
    "extended: storage level 2": user(extended(CT, b"\2\0\3\0\1\0")),
    "extended: two classes": user(
        extended(CT, STORAGE_INFORMATION), extended(MR, STORAGE_INFORMATION)
    ),
    "extended: no information": user(extended(CT, b"")),
    "extended: a class that is not offered": user(
        extended(SECONDARY_CAPTURE, STORAGE_INFORMATION)
    ),
    "extended: verification": user(extended(VERIFICATION, b"\1")),
    "common extended": user(common_extended(CT, STORAGE_SERVICE)),
    "common extended with related classes": user(
        common_extended(ENHANCED_SR, STORAGE_SERVICE, CT, MR)
    ),
    **{
        f"user identity {kind}{', answer wanted' if answer else ''}": user(
            user_identity(
                kind, b"someone", secondary=b"word" if kind == 2 else b"", answer=answer
            )
        )
        for kind in range(1, 6)
        for answer in (False, True)
    },
    "user identity of an unknown kind": user(user_identity(9, b"someone")),
    "all at once": user(
        user_item(0x55, b"TEST_1"),
        window(3, 1),
        role(CT, 1, 0),
        extended(CT, STORAGE_INFORMATION),
        common_extended(MR, STORAGE_SERVICE),
        user_identity(1, b"someone"),
    ),
}
BROKEN_CASES = {
    "user information cut off": Offer(more_items=item(0x50, b"\x51\0\0\4\0")),
    "a context that claims too much": Offer(
        contexts=(), more_items=struct.pack(">BBH", 0x20, 0, 500) + bytes(8)
    ),
    "a maximum length of two bytes": Offer(user_items=(item(0x51, b"\1\0"),)),
    "two application contexts": Offer(more_items=item(0x10, b"1.2.840.10008.3.1.1.1")),
    "nothing after the titles": Offer(
        contexts=(), user_items=(), application_context=b""
    ),
}
# pynetdicom's thread dies of these.
MUTE = {
    "a context without syntax",
    "an even context id",
    "context id 0",
    "user identity of an unknown kind",
}
CASES = CONTEXT_CASES | TITLE_CASES | USER_CASES | BROKEN_CASES


@pytest.mark.parametrize("case", CASES)
def test_an_offer_is_answered_as_pynetdicom_answers_it(pair: Pair, case: str) -> None:
    dialogue = Dialogue(request=CASES[case].encode(), mute=case in MUTE)
    assert surprises(case, pair.differ(dialogue)) == []


CALLERS = {
    "a caller that is expected": Offer(calling=b"FRIEND".ljust(16)),
    "a caller that is not expected": Offer(calling=b"STRANGER".ljust(16)),
    "a caller in lower case": Offer(calling=b"friend".ljust(16)),
    "nobody is as expected": Offer(
        calling=b"STRANGER".ljust(16), called=b"OTHER".ljust(16)
    ),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that one caller may talk to."""
    folder = tmp_path_factory.mktemp("guarded")
    with running_pair(folder, calling=("FRIEND",)) as running:
        yield running


@pytest.mark.parametrize("case", CALLERS)
def test_a_caller_is_let_in_or_rejected_as_by_pynetdicom(
    guarded: Pair, case: str
) -> None:
    difference = guarded.differ(Dialogue(request=CALLERS[case].encode()))
    assert surprises(case, difference) == []
