"""Frames of all jobs in flight -> batches of one model."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Generic, Protocol, TypeVar

from dicom_node.core.errors import InferenceError
from inference.api import Image

log = logging.getLogger("dicom_node.batches")

Scores = tuple[float, ...]
Outcome = Scores | InferenceError
Finish = Callable[[], Image]
Payload = TypeVar("Payload")
PayloadIn = TypeVar("PayloadIn", contravariant=True)


class Launch(Protocol[PayloadIn]):
    """Starts a batch; what it returns waits for the scores, (images, classes)."""

    def __call__(self, payloads: Sequence[PayloadIn]) -> Finish:
        """Start the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Generic[Payload]):
    """A frame that waits for its batch.

    Args:
        deliver: called once, from the thread of the batches, with the scores or
            with what went wrong; must not block.
    """

    payload: Payload
    deliver: Callable[[Outcome], None]
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Started(Generic[Payload]):
    batch: list[Waiting[Payload]]
    finish: Finish


class Batcher(Generic[Payload]):
    """Runs a model in a thread of its own, over frames of whatever job has some.

    A batch leaves when it is full, when its oldest frame has waited long enough, or
    when no job has anything left to decode. Which frames share a batch follows from
    timing; what that may change in a score is the engine's to keep at nothing.

    Args:
        prepare_thread: called first in the thread of the batches.
    """

    def __init__(
        self,
        launch: Launch[Payload],
        *,
        max_batch_size: int,
        max_wait_ms: float,
        prepare_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self._launch = launch
        self._size = max_batch_size
        self._wait = max_wait_ms / 1000
        self._prepare_thread = prepare_thread
        self._queue: deque[Waiting[Payload]] = deque()
        self._decoding = 0
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Say that a job will bring frames while the block runs."""
        with self._changed:
            self._decoding += 1
        try:
            yield
        finally:
            with self._changed:
                self._decoding -= 1
                self._changed.notify_all()

    def put(self, frame: Waiting[Payload]) -> None:
        """Hand in a frame for the next batch.

        Raises:
            InferenceError: the model is being let go; retryable.
        """
        with self._changed:
            if self._closed:
                raise InferenceError("the model is being let go", retryable=True)
            self._queue.append(frame)
            # In between it would wake up to see that the batch is not full yet.
            if len(self._queue) in (1, self._size):
                self._changed.notify_all()

    def close(self) -> None:
        """Run what is queued, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        self._prepare_thread()
        running: deque[_Started[Payload]] = deque()
        while True:
            batch = self._take(block=not running)
            if batch:
                started = self._start(batch)
                if started:
                    running.append(started)
                # A device computes one batch while the next one is made ready.
                if len(running) < 2:
                    continue
            if running:
                self._end(running.popleft())
            elif not batch:
                return

    def _take(self, *, block: bool) -> list[Waiting[Payload]]:
        """Return the next batch; nothing when closed, or not ready and not to block."""
        with self._changed:
            while not self._is_ready():
                if not block or (self._closed and not self._queue):
                    return []
                self._changed.wait(self._patience())
            size = min(self._size, len(self._queue))
            return [self._queue.popleft() for _ in range(size)]

    def _is_ready(self) -> bool:
        if not self._queue:
            return False
        return (
            len(self._queue) >= self._size
            or not self._decoding
            or self._closed
            or time.monotonic() - self._queue[0].since >= self._wait
        )

    def _patience(self) -> float | None:
        if not self._queue:
            return None
        return max(self._queue[0].since + self._wait - time.monotonic(), 0.0)

    def _start(self, batch: list[Waiting[Payload]]) -> _Started[Payload] | None:
        try:
            return _Started(batch, self._launch([item.payload for item in batch]))
        except Exception as error:  # noqa: BLE001 - the thread serves every job
            self._fail(batch, error)
            return None

    def _end(self, started: _Started[Payload]) -> None:
        try:
            table = started.finish()
            rows = [tuple(float(value) for value in row) for row in table]
            if len(rows) != len(started.batch):
                raise InferenceError("the model does not give one row per image")
        except Exception as error:  # noqa: BLE001 - the thread serves every job
            self._fail(started.batch, error)
            return
        for item, row in zip(started.batch, rows, strict=True):
            item.deliver(row)

    def _fail(self, batch: list[Waiting[Payload]], error: Exception) -> None:
        """Find the frame that a batch fails on; the others are scored without it."""
        wrapped = _as_inference_error(error)
        if wrapped.retryable or len(batch) == 1:
            for item in batch:
                item.deliver(wrapped)
            return
        for item in batch:
            if started := self._start([item]):
                self._end(started)


def _as_inference_error(error: Exception) -> InferenceError:
    """Say what went wrong without the text of a foreign error, which may hold data."""
    if isinstance(error, InferenceError):
        return error
    log.error("batch failed", extra={"error": type(error).__name__})
    return InferenceError(f"the model failed ({type(error).__name__})")
