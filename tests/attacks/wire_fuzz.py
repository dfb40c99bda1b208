"""Fuzz the receiver: valid sessions, damaged by a seed, against a real process.

Longer than in the tests: python -m tests.attacks.wire_fuzz --seconds 3600 --seed 7
One session again:        python -m tests.attacks.wire_fuzz --seed 7 --only 1234
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.attacks.attack import Plan, attack
from tests.attacks.conftest import SHORT, warm_up
from tests.attacks.peer import CLOSED, Peer
from tests.attacks.receiver import MIB, Receiver, running_receiver
from tests.attacks.sessions import describe, valid_session

BATCH = 500
_TOGETHER = 6
# So many of a hundred sessions do not end themselves: the receiver has to.
_SILENT_PERCENT = 2

Mutation = Callable[[random.Random, list[bytes]], None]


def flip(source: random.Random, pdus: list[bytes]) -> None:
    """Change up to eight bytes of a PDU, often in a head."""
    number = source.randrange(len(pdus))
    content = bytearray(pdus[number])
    for _ in range(source.choice((1, 1, 2, 8)) if content else 0):
        at = source.randrange(min(len(content), source.choice((6, 12, 80, 1 << 20))))
        content[at] = source.choice((0, 1, 0x7F, 0xFF, content[at] ^ 1, at & 0xFF))
    pdus[number] = bytes(content)


def lengthen(source: random.Random, pdus: list[bytes]) -> None:
    """Put another length into a head: of a PDU, a PDV or an item."""
    number = source.randrange(len(pdus))
    content = bytearray(pdus[number])
    if len(content) < 6:
        return
    places = [(2, 4), (6, 4)] if number else [(2, 4), *_item_lengths(content)]
    at, size = source.choice(places)
    old = int.from_bytes(content[at : at + size], "big")
    top = (1 << 8 * size) - 1
    new = source.choice(
        (0, 1, 2, old - 1, old + 1, old * 2, top, source.randrange(top))
    )
    content[at : at + size] = (new & top).to_bytes(size, "big")
    pdus[number] = bytes(content)


def control(source: random.Random, pdus: list[bytes]) -> None:
    """Change the context id or the message control header of a PDU's first PDV."""
    number = source.randrange(len(pdus))
    content = bytearray(pdus[number])
    if number and len(content) >= 12:
        content[source.choice((10, 11))] = source.randrange(256)
    pdus[number] = bytes(content)


def duplicate(source: random.Random, pdus: list[bytes]) -> None:
    """Send a PDU again, at once or later."""
    again = source.choice(pdus)
    pdus.insert(source.randrange(len(pdus) + 1), again)


def drop(source: random.Random, pdus: list[bytes]) -> None:
    """Leave a PDU out."""
    del pdus[source.randrange(len(pdus))]


def cut(source: random.Random, pdus: list[bytes]) -> None:
    """Leave bytes out of a PDU; sometimes nothing comes behind it."""
    number = source.randrange(len(pdus))
    content = pdus[number]
    start = source.randrange(len(content) + 1)
    stop = source.choice((len(content), min(len(content), start + 4)))
    pdus[number] = content[:start] + content[stop:]
    if source.random() < 0.3:
        del pdus[number + 1 :]


def swap(source: random.Random, pdus: list[bytes]) -> None:
    """Let two PDUs change places."""
    one, other = source.randrange(len(pdus)), source.randrange(len(pdus))
    pdus[one], pdus[other] = pdus[other], pdus[one]


MUTATIONS: tuple[Mutation, ...] = (
    flip,
    flip,
    lengthen,
    lengthen,
    control,
    duplicate,
    drop,
    cut,
    swap,
)


def damaged_session(seed: int, number: int) -> list[bytes]:
    """Make the PDUs of a session of a seed; the same numbers make the same bytes."""
    source = random.Random(f"{seed}/{number}")
    pdus = valid_session(source).pdus
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        if pdus:
            source.choice(MUTATIONS)(source, pdus)
    return pdus


def run_session(
    receiver: Receiver, pdus: Iterable[bytes], *, finish: bool
) -> list[str]:
    """Send a session and return the answers up to the end of the connection.

    Raises:
        TimeoutError: neither an answer nor an end came in time.
    """
    answers = []
    with Peer(receiver.port) as peer:
        peer.send(*pdus)
        if finish:
            peer.finish()
        while True:
            answer = peer.answer()
            answers.append(describe(answer.kind, answer.status))
            if answer.kind == CLOSED:
                return answers


def fuzz(receiver: Receiver, seed: int, numbers: range) -> Counter[str]:
    """Send damaged sessions, several at once; count the answers.

    Raises:
        AssertionError: a session was not answered in time; its number is in the text.
    """

    def run(number: int) -> list[str]:
        finish = number % 100 >= _SILENT_PERCENT
        try:
            return run_session(receiver, damaged_session(seed, number), finish=finish)
        except TimeoutError:
            raise AssertionError(
                f"no answer to --seed {seed} --only {number}"
            ) from None

    with ThreadPoolExecutor(_TOGETHER) as pool:
        return Counter(kind for kinds in pool.map(run, numbers) for kind in kinds)


def run_batch(receiver: Receiver, seed: int, numbers: range) -> Counter[str]:
    """Fuzz under the oracle of every attack."""
    plan = Plan(
        id="B19e",
        attack="fuzzed C-ECHO, C-STORE, C-FIND, N-EVENT-REPORT, release, abort",
        how=f"{len(numbers)} sessions, seed {seed}: bytes, lengths, contexts, control "
        "headers, items; PDUs cut, dropped, doubled, swapped",
        expected="each answered or ended within 3 s, no exception",
        peak_bytes=48 * MIB,
    )
    with attack(receiver, plan) as seen:
        counts = fuzz(receiver, seed, numbers)
        told = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        seen.saw(f"answers: {told}")
    return counts


def main() -> None:
    """Fuzz a receiver of its own until the time is over or something is found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="send one session again")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="wire-fuzz-") as folder,
        running_receiver(Path(folder), SHORT) as receiver,
    ):
        warm_up(receiver)
        if options.only is not None:
            pdus = damaged_session(options.seed, options.only)
            print("sent", [len(pdu) for pdu in pdus])
            print("answers", run_session(receiver, pdus, finish=True))
            print(*receiver.new_log()[-3:], sep="\n")
            return
        end, first = time.monotonic() + options.seconds, 0
        while time.monotonic() < end:
            counts = run_batch(receiver, options.seed, range(first, first + BATCH))
            first += BATCH
            print(f"{first} sessions, seed {options.seed}:", dict(counts), flush=True)


def _item_lengths(request: bytearray) -> list[tuple[int, int]]:
    """Return where the lengths of an A-ASSOCIATE-RQ's items and sub-items are."""
    found, position = [], 74
    while position + 4 <= len(request):
        found.append((position + 2, 2))
        length = int.from_bytes(request[position + 2 : position + 4], "big")
        inside = position + (8 if request[position] == 0x20 else 4)
        nested = request[position] in (0x20, 0x50)
        position = inside if nested else position + 4 + length
    return found


if __name__ == "__main__":
    main()
