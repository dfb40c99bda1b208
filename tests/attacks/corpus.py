"""Files to send, their contexts, and whether the store has what was acknowledged."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks.datasets import INSTANCE, split_head
from tests.attacks.peer import (
    ACCEPTED,
    Answer,
    Offer,
    Peer,
    context_items,
    store_message,
)
from tests.attacks.receiver import Receiver
from tests.integration.receive.wire import CT

REFUSED = "context refused"
_MAX_CONTEXTS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A data set as a sender would send it."""

    name: str
    dataset: bytes
    transfer_syntax: str
    sop_class: str = CT
    instance: str = INSTANCE


def read_sample(path: Path) -> Sample:
    """Read a file, however broken, as a sender without any checks would."""
    dataset, meta = split_head(path.read_bytes())
    return Sample(
        name=path.name,
        dataset=dataset,
        transfer_syntax=meta[0x0010],
        sop_class=meta.get(0x0002, CT),
        instance=meta.get(0x0003, INSTANCE),
    )


@dataclass(slots=True)
class Results:
    """What was answered: 0x0000 and so on, a kind of end, or a refused context."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    accepted: list[Sample] = field(default_factory=list)
    longest: float = 0.0

    def add(self, sample: Sample, answer: Answer) -> None:
        """Count an answer."""
        status = answer.status
        self.note(sample, answer.kind if status < 0 else f"0x{status:04X}")
        self.longest = max(self.longest, answer.seconds)
        if status == 0:
            self.accepted.append(sample)

    def note(self, sample: Sample, outcome: str) -> None:
        """Remember an outcome."""
        self.answers.setdefault(outcome, []).append(sample.name)

    def summary(self) -> str:
        """Count the outcomes."""
        counts = [f"{len(names)} {kind}" for kind, names in self.answers.items()]
        return f"{', '.join(sorted(counts))}, within {self.longest:.2f} s"


def send_all(receiver: Receiver, samples: Sequence[Sample]) -> Results:
    """Send samples on one association; after an abort the rest on a new one."""
    numbers = _context_numbers(samples)
    offer = Offer(
        contexts=context_items(
            {number: (name, (syntax,)) for (name, syntax), number in numbers.items()}
        )
    )
    results, peer = Results(), _associate(receiver, offer)
    refused = _refused(peer)
    for sample in samples:
        number = numbers[sample.sop_class, sample.transfer_syntax]
        if number in refused:
            results.note(sample, REFUSED)
            continue
        peer[0].send(
            store_message(
                sample.dataset,
                sample.instance,
                context=number,
                sop_class=sample.sop_class,
            )
        )
        answer = peer[0].answer()
        results.add(sample, answer)
        if answer.status < 0:
            peer[0].close()
            peer = _associate(receiver, offer)
    peer[0].release()
    peer[0].close()
    return results


def not_kept(receiver: Receiver, accepted: Iterable[Sample]) -> list[str]:
    """Name what was acknowledged and is not in database and store, byte for byte."""
    known = receiver.known_keys()
    kept = set()
    for path in receiver.files():
        dataset, _ = split_head(path.read_bytes())
        if path.stem in known:
            kept.add(hashlib.sha256(dataset).digest())
    return [
        sample.name
        for sample in accepted
        if hashlib.sha256(sample.dataset).digest() not in kept
    ]


def _context_numbers(samples: Iterable[Sample]) -> dict[tuple[str, str], int]:
    kinds = dict.fromkeys((item.sop_class, item.transfer_syntax) for item in samples)
    assert len(kinds) <= _MAX_CONTEXTS
    return {kind: 2 * index + 1 for index, kind in enumerate(kinds)}


def _associate(receiver: Receiver, offer: Offer) -> tuple[Peer, Answer]:
    peer = Peer(receiver.port)
    answer = peer.associate(offer)
    assert answer.kind == ACCEPTED
    return peer, answer


def _refused(associated: tuple[Peer, Answer]) -> set[int]:
    results = associated[1].context_results()
    return {number for number, result in results.items() if result}
