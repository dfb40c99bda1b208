"""Small or endless input that means much: memory stays flat, all is answered."""

import itertools
import struct
from collections.abc import Iterable

from tests.attacks.attack import Plan, attack
from tests.attacks.datasets import (
    DEFLATED,
    INSTANCE,
    deflated,
    deflated_bomb,
    element,
    empty_elements,
    encapsulated,
    image,
    nested,
)
from tests.attacks.peer import (
    ABORTED,
    CLOSED,
    CONTEXTS,
    STATUS,
    Offer,
    Peer,
    context_items,
    store_message,
)
from tests.attacks.receiver import MIB, Receiver
from tests.integration.receive.wire import (
    CT,
    P_DATA,
    STORE_RQ,
    command,
    pdu,
    pdv,
)

# 32 MiB is what RECEIVE of the fixture allows an instance.
LIMIT_MIB = 32
CANNOT_UNDERSTAND = 0xC000
RLE, JPEG = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"
JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
SYNTAXES = {5: DEFLATED, 7: RLE, 9: JPEG, 11: JPEG_LS, 13: JPEG_2000}
OFFER = Offer(
    contexts=context_items(
        {**CONTEXTS, **{number: (CT, (name,)) for number, name in SYNTAXES.items()}}
    )
)
REFUSED = "0xC000, no file, nothing allocated for what it claims"


def refused_within(
    receiver: Receiver, datasets: Iterable[tuple[int, bytes]]
) -> tuple[int, float]:
    """Send data sets, each of which must be refused; return how many and the longest.

    Args:
        datasets: presentation context and encoded data set.
    """
    seconds = []
    with Peer(receiver.port) as peer:
        peer.established(OFFER)
        for context, dataset in datasets:
            answer = peer.store(dataset, INSTANCE, context=context)
            assert answer.status == CANNOT_UNDERSTAND, (context, answer)
            seconds.append(answer.seconds)
        assert peer.echo() == 0, "the association goes on"
        peer.release()
    return len(seconds), max(seconds)


def flood(peer: Peer, block: bytes, *, limit_mib: int) -> int:
    """Send a block again and again; return the MiB that were taken.

    A refusing status may come before the association is ended.
    """
    count = limit_mib * MIB // len(block)
    taken = sum(1 for _ in itertools.takewhile(peer.send, [block] * count))
    answer = peer.answer()
    if answer.kind == STATUS:
        assert answer.status == 0xA700
        answer = peer.answer()
    assert answer.kind in (ABORTED, CLOSED)
    return taken * len(block) // MIB


def test_b8_a_data_set_without_end_is_cut_at_the_limit(receiver: Receiver) -> None:
    plan = Plan(
        id="B8",
        attack="data set without last-fragment bit, 600 MB",
        how=f"16 KiB fragments, max_instance_bytes {LIMIT_MIB} MiB",
        expected="association aborted at the limit, nothing left on disk",
    )
    head = command(STORE_RQ, sop_class=CT, instance=INSTANCE, dataset=True)
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.established().send(pdu(P_DATA, pdv(3, 3, head)))
        taken = flood(peer, pdu(P_DATA, pdv(3, 0, bytes(16378))), limit_mib=600)
        assert taken < LIMIT_MIB + 16, "more than the kernel's buffers can hold"
        seen.saw(f"cut after {taken} MiB")


def test_b8_an_instance_above_the_limit_is_refused(receiver: Receiver) -> None:
    plan = Plan(
        id="B8b",
        attack="a whole data set above max_instance_bytes",
        how="a valid image of 33 MiB at a limit of 32 MiB",
        expected="0xA700 or an abort, nothing left on disk",
    )
    pixels = element(0x7FE00010, b"OW", bytes(33 * MIB))
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.established().send(store_message(image(pixels=pixels), INSTANCE))
        answer = peer.answer()
        assert answer.status == 0xA700 or answer.kind in (ABORTED, CLOSED)
        seen.saw(answer.kind)


def test_b8_a_command_set_without_end_is_cut(receiver: Receiver) -> None:
    plan = Plan(
        id="B8c",
        attack="command set without last-fragment bit",
        how="64 MiB offered, in fragments of 16 KiB and of none",
        expected="association aborted after some KiB",
        peak_bytes=16 * MIB,
    )
    with attack(receiver, plan) as seen:
        taken = []
        for block in (bytes(16378), b""):
            with Peer(receiver.port) as peer:
                fragment = pdu(P_DATA, pdv(1, 1, block))
                blocks = fragment * (MIB // len(fragment))
                taken.append(flood(peer.established(), blocks, limit_mib=64))
        assert max(taken) < 16
        seen.saw(f"cut after at most {max(taken)} MiB, of which the kernel held most")


def test_b9_millions_of_tiny_elements_are_refused(receiver: Receiver) -> None:
    plan = Plan(
        id="B9",
        attack="24 MB made of 8-byte elements",
        how="inside an image that is valid without them; also 2 MB of them, deflated",
        expected=REFUSED,
    )
    dataset = image(before=empty_elements(24_000_000))
    fewer = deflated(image(before=empty_elements(2_000_000)))
    with attack(receiver, plan) as seen:
        count, seconds = refused_within(receiver, [(3, dataset), (5, fewer)])
        seen.saw(f"{count} refused within {seconds:.2f} s")


def test_b10_sequences_nested_too_deep_are_refused(receiver: Receiver) -> None:
    plan = Plan(
        id="B10",
        attack="sequences nested 20,000 deep",
        how="closed properly, 720 KB, inside an image; also 33 deep, one above limit",
        expected=REFUSED,
    )
    with attack(receiver, plan) as seen:
        count, seconds = refused_within(
            receiver, [(3, image(before=nested(depth))) for depth in (20_000, 33)]
        )
        with Peer(receiver.port) as peer:
            allowed = image(before=nested(32))
            assert peer.established().store(allowed, INSTANCE).status == 0
            peer.release()
        seen.saw(f"{count} refused within {seconds:.2f} s, 32 deep accepted")


def test_b11_a_deflated_bomb_is_not_inflated(receiver: Receiver) -> None:
    plan = Plan(
        id="B11",
        attack="Deflated transfer syntax, 700 KB to 700 MB",
        how="limit of inflating 64 MiB; also one broken off and one with a tail",
        expected=REFUSED,
        peak_bytes=96 * MIB,  # the limit, and what else an instance needs
    )
    bomb = deflated_bomb(700)
    torn = deflated(image(), end=False)
    with attack(receiver, plan) as seen:
        count, seconds = refused_within(
            receiver, [(5, bomb), (5, torn), (5, bytes(64)), (5, b"")]
        )
        seen.saw(f"{len(bomb) // 1000} KB, {count} refused within {seconds:.2f} s")


def test_b21_codestreams_that_claim_4_gigapixels_are_refused(
    receiver: Receiver,
) -> None:
    plan = Plan(
        id="B21",
        attack="Rows = Columns = 65535 in < 200 bytes: RLE, JPEG, JPEG-LS, JPEG 2000",
        how="one fragment with the head of a codestream",
        expected=REFUSED,
        peak_bytes=16 * MIB,
    )
    heads = {
        7: struct.pack("<16I", 1, 64, *[0] * 14),
        9: b"\xff\xd8\xff\xc0",
        11: b"\xff\xd8\xff\xf7",
        13: b"\xff\x4f\xff\x51",
    }
    claims = [
        (
            context,
            image(
                rows=65535,
                columns=65535,
                pixels=encapsulated(head.ljust(128, b"\0")),
            ),
        )
        for context, head in heads.items()
    ]
    with attack(receiver, plan) as seen:
        count, seconds = refused_within(receiver, claims)
        seen.saw(f"{count} refused within {seconds:.2f} s")
