"""Batches of frames from several jobs."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, Thread

import numpy as np
import pytest

from dicom_node.core.errors import InferenceError, ScoreError
from inference.api import Image
from inference.run.batcher import Batcher, Outcome, Waiting
from inference.run.budget import ByteBudget

LONG_MS = 60_000.0


class _Doubles:
    """A model that doubles numbers and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.free = Event()
        self.free.set()
        self.busy = Event()

    def __call__(self, payloads: Sequence[float]) -> Callable[[], Image]:
        """Score a batch once it may."""
        self.busy.set()
        self.free.wait()
        self.batches.append(list(payloads))
        if -1.0 in payloads:
            raise ScoreError("not a number")
        if -2.0 in payloads:
            raise ValueError("patient name")
        if -3.0 in payloads:
            raise InferenceError("out of memory", retryable=True)
        return lambda: np.array([[2 * value] for value in payloads], np.float32)


@contextmanager
def _batcher(
    model: _Doubles, *, size: int = 4, wait_ms: float = LONG_MS
) -> Iterator[Batcher[float]]:
    batcher = Batcher(model, max_batch_size=size, max_wait_ms=wait_ms)
    try:
        yield batcher
    finally:
        model.free.set()
        batcher.close()


def _put(batcher: Batcher[float], *values: float) -> list[Future[Outcome]]:
    futures: list[Future[Outcome]] = [Future() for _ in values]
    for value, future in zip(values, futures, strict=True):
        batcher.put(Waiting(payload=value, deliver=future.set_result))
    return futures


def test_a_full_batch_leaves_while_jobs_still_decode() -> None:
    model = _Doubles()
    with _batcher(model) as batcher, batcher.decoding(), batcher.decoding():
        first = _put(batcher, 1.0, 2.0)  # of one job
        second = _put(batcher, 3.0, 4.0)  # of another
        results = [future.result(10) for future in first + second]
    assert results == [(2.0,), (4.0,), (6.0,), (8.0,)]
    assert model.batches == [[1.0, 2.0, 3.0, 4.0]]


def test_a_batch_waits_for_a_job_that_still_decodes_and_leaves_when_it_ends() -> None:
    model = _Doubles()
    with _batcher(model) as batcher:
        with batcher.decoding():
            (waiting,) = _put(batcher, 1.0)
            (other,) = _put(batcher, 2.0)
            assert not waiting.done()
        assert (waiting.result(10), other.result(10)) == ((2.0,), (4.0,))
    assert model.batches == [[1.0, 2.0]]


def test_the_oldest_frame_waits_no_longer_than_it_may() -> None:
    model = _Doubles()
    with _batcher(model, wait_ms=1) as batcher, batcher.decoding():
        (frame,) = _put(batcher, 1.0)
        assert frame.result(10) == (2.0,)


def test_what_comes_while_the_model_computes_shares_the_next_batch() -> None:
    model = _Doubles()
    model.free.clear()
    with _batcher(model) as batcher:
        first = _put(batcher, 1.0)
        model.busy.wait(10)
        others = _put(batcher, 2.0, 3.0, 4.0)
        model.free.set()
        assert [future.result(10) for future in first + others] == [
            (2.0,), (4.0,), (6.0,), (8.0,),
        ]  # fmt: skip
    assert model.batches == [[1.0], [2.0, 3.0, 4.0]]


@pytest.mark.parametrize(
    ("bad", "kind", "text"),
    [
        (-1.0, ScoreError, "not a number"),
        (-2.0, InferenceError, "the model failed (ValueError)"),
    ],
)
def test_a_frame_that_the_model_fails_on_leaves_the_others_of_its_batch_alone(
    bad: float, kind: type[InferenceError], text: str
) -> None:
    with _batcher(_Doubles()) as batcher, batcher.decoding():
        results = [item.result(10) for item in _put(batcher, 1.0, bad, 3.0, 4.0)]
    assert (results[0], results[2], results[3]) == ((2.0,), (6.0,), (8.0,))
    assert type(results[1]) is kind
    assert str(results[1]) == text


def test_a_device_that_fails_fails_the_whole_batch_and_nothing_after_it() -> None:
    with _batcher(_Doubles(), size=2) as batcher, batcher.decoding():
        failed = [item.result(10) for item in _put(batcher, 1.0, -3.0)]
        later = [item.result(10) for item in _put(batcher, 1.0, 2.0)]
    assert all(isinstance(item, InferenceError) and item.retryable for item in failed)
    assert later == [(2.0,), (4.0,)]


def test_a_closed_batcher_scores_what_it_has_and_takes_no_more() -> None:
    model = _Doubles()
    batcher: Batcher[float] = Batcher(model, max_batch_size=4, max_wait_ms=LONG_MS)
    with batcher.decoding():
        (frame,) = _put(batcher, 1.0)
        batcher.close()
    assert frame.result(0) == (2.0,)
    with pytest.raises(InferenceError, match="let go") as caught:
        _put(batcher, 2.0)
    assert caught.value.retryable


def test_a_budget_lets_in_no_more_than_it_has_and_serves_in_order() -> None:
    budget = ByteBudget(100)
    first = budget.reserve(60)
    order: list[str] = []

    def take(name: str, size: int) -> None:
        held = budget.reserve(size)
        order.append(name)
        held.release()

    large = Thread(target=take, args=("large", 90))
    large.start()
    assert budget.used_bytes == 60
    first.shrink(30)
    assert budget.used_bytes == 30
    small = Thread(target=take, args=("small", 100))
    small.start()
    first.release()
    first.release()
    large.join(10)
    small.join(10)
    assert sorted(order) == ["large", "small"]
    assert budget.used_bytes == 0


def test_what_is_larger_than_the_budget_goes_alone() -> None:
    budget = ByteBudget(10)
    held = budget.reserve(1_000_000)
    assert budget.used_bytes == 10
    held.shrink(5)
    assert budget.used_bytes == 5
    held.release()
    assert budget.used_bytes == 0


def test_frames_that_were_let_in_together_give_back_one_by_one() -> None:
    budget = ByteBudget(100)
    shares = budget.reserve(80).share((10, 20, 30))
    assert budget.used_bytes == 60
    shares[1].release()
    shares[1].release()
    assert budget.used_bytes == 40
    for share in shares:
        share.release()
    assert budget.used_bytes == 0


def test_shares_are_never_more_than_was_let_in() -> None:
    budget = ByteBudget(50)
    shares = budget.reserve(1_000).share((40, 40))
    assert budget.used_bytes == 50
    for share in shares:
        share.release()
    assert budget.used_bytes == 0
