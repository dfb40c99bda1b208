"""Images of a study -> scores: decoded ahead in threads, batched with other studies."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from threading import BoundedSemaphore, Condition, Lock
from time import monotonic
from typing import Any, Final, TypeAlias

from dicom_node.core.errors import InferenceError, PixelError, ScoreError
from dicom_node.core.types import ImageResult
from inference.api import Model
from inference.guard.guard import DecodeGuard, Guard, Unguarded
from inference.guard.trials import Candidate
from inference.pixels.frames import open_image
from inference.run.batcher import Batcher, Outcome, Waiting
from inference.run.budget import ByteBudget, Reservation
from inference.run.lanes import Lane, ReadFrame, make_lane
from inference.run.options import RunOptions, use_threads
from inference.run.tasks import Tally, Task, cut_tasks
from inference.run.together import OpenFrame, group_frames
from inference.select.selection import Choice
from inference.vit.model import TimmModel

# So many tasks of one study wait at a time: a study of thousands must not stand
# before another's single image.
_TASKS_AHEAD: Final = 16

_Read: TypeAlias = tuple[OpenFrame, ReadFrame]


class Machine:
    """Threads that decode and the memory that all models of a process share.

    Attributes:
        turn: held by the one thread that does short work on small frames.
    """

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.budget = ByteBudget(options.memory_budget_bytes)
        self.turn = Lock()
        folder = options.guard_folder
        self.guard: Guard = (
            DecodeGuard(folder, options.limits) if folder else Unguarded()
        )
        self.decoders = ThreadPoolExecutor(
            options.decoders,
            thread_name_prefix="decode",
            initializer=partial(use_threads, 1),
        )

    def close(self) -> None:
        """End the threads."""
        self.decoders.shutdown(cancel_futures=True)
        self.guard.close()


class Line:
    """One loaded model with its batches."""

    def __init__(self, model: Model, machine: Machine, *, threads: int) -> None:
        """Start the thread of the batches.

        Args:
            threads: of torch in it.
        """
        options = machine.options
        limit = min(
            options.max_batch_size or model.card.batch_size, model.card.batch_size
        )
        if isinstance(model, TimmModel) and model.chosen.one_by_one:
            limit = 1
        self.model = model
        self.machine = machine
        self.lane: Lane = make_lane(model)
        self.batcher: Batcher[Any] = Batcher(
            self.lane.start,
            max_batch_size=limit,
            max_wait_ms=options.max_wait_ms,
            prepare_thread=partial(use_threads, threads),
        )

    def evaluate(self, choices: Sequence[Choice]) -> tuple[ImageResult, ...]:
        """Score the frames that were chosen; a bad image fails alone.

        Returns:
            One result per choice, in the order given.

        Raises:
            ScoreError: a score is no result.
            InferenceError: retryable, the device cannot run the model now.
        """
        inside = [
            Candidate(path=item.file.path, frames=item.frames)
            for item in choices
            if not item.skipped
        ]
        with self.machine.guard.study(inside, self.model.card.input) as refused:
            tallies = [
                Tally(
                    item.file,
                    item.opened,
                    item.skipped,
                    item.frames,
                    error=refused.get(item.file.path, ""),
                )
                for item in choices
            ]
            _Evaluation(self, tallies).run()
        return tuple(tally.result(self.model.card) for tally in tallies)

    def close(self) -> None:
        """Run what is queued, then end the thread."""
        self.batcher.close()


class _Evaluation:
    """One study on its way through a line."""

    def __init__(self, line: Line, tallies: Sequence[Tally]) -> None:
        self._line = line
        self._inside = [
            tally for tally in tallies if not tally.skipped and not tally.error
        ]
        self._ahead = BoundedSemaphore(_TASKS_AHEAD)
        self._tasks = 0
        self._waiting = 0
        self._fatal: InferenceError | None = None
        self._changed = Condition()

    def run(self) -> None:
        """Decode everything, wait for all scores."""
        with self._line.batcher.decoding():
            for task in cut_tasks(self._inside):
                self._ahead.acquire()
                if self._fatal:
                    break
                with self._changed:
                    self._tasks += 1
                self._line.machine.decoders.submit(self._decode_all, task)
            with self._changed:
                self._changed.wait_for(lambda: not self._tasks)
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
        if self._fatal:
            raise self._fatal

    def _decode_all(self, task: Task) -> None:
        """Decode the frames of one task."""
        limit = self._line.machine.budget.limit_bytes
        try:
            for group in group_frames(self._open(task), limit_bytes=limit):
                self._read_group(group)
        finally:
            self._ahead.release()
            with self._changed:
                self._tasks -= 1
                if not self._tasks:
                    self._changed.notify_all()

    def _open(self, task: Task) -> Iterator[OpenFrame]:
        """Open one image after the other; a file is opened anew for each task."""
        machine = self._line.machine
        for tally, numbers in task:
            try:
                with machine.turn, machine.guard.frame(tally.file.path):
                    source = open_image(tally.file.path, limits=machine.options.limits)
                    tally.opened(source)
            except Exception as error:  # noqa: BLE001 - a bad image fails alone
                self._fail(tally, error)
                continue
            for number in numbers:
                yield OpenFrame(tally=tally, source=source, number=number)

    def _read_group(self, group: Sequence[OpenFrame]) -> None:
        """Decode frames within the budget and put them before the model."""
        machine = self._line.machine
        held = machine.budget.reserve(sum(frame.size_bytes for frame in group))
        try:
            with machine.turn if group[0].is_short_work else nullcontext():
                read = [(one, made) for one in group if (made := self._read(one))]
            reduced = self._reduce(read)
            shares = held.share([made.size_bytes for _, made in reduced])
        except BaseException:
            held.release()
            raise
        for (frame, made), share in zip(reduced, shares, strict=True):
            self._put(made, partial(self._deliver, share, frame, made.windowing))

    def _read(self, frame: OpenFrame) -> ReadFrame | None:
        """Decode a frame; None if it is bad, or of no use any more."""
        tally, machine = frame.tally, self._line.machine
        if tally.error or self._fatal:
            return None
        began = monotonic()
        try:
            with machine.guard.frame(tally.file.path):
                made = self._line.lane.read(frame.source, frame.number)
            tally.seconds += monotonic() - began
            limit = machine.options.limits.seconds
            if tally.seconds > limit:
                raise PixelError(f"decoding the image took longer than {limit:g} s")
        except Exception as error:  # noqa: BLE001 - a bad image fails alone
            self._fail(tally, error)
            return None
        return made

    def _reduce(self, read: Sequence[_Read]) -> Sequence[_Read]:
        """Make frames small, together; where that fails, one by one."""
        guard = self._line.machine.guard
        try:
            with ExitStack() as watched:
                for path in {frame.tally.file.path for frame, _ in read}:
                    watched.enter_context(guard.frame(path))
                made = self._line.lane.reduce([made for _, made in read])
        except Exception as error:  # noqa: BLE001 - a bad image fails alone
            if len(read) > 1:
                return [one for each in read for one in self._reduce([each])]
            self._fail(read[0][0].tally, error)
            return ()
        frames = (frame for frame, _ in read)
        return list(zip(frames, made, strict=True))

    def _fail(self, tally: Tally, error: Exception) -> None:
        if isinstance(error, InferenceError):
            self._stop(error)
        else:
            tally.error = _describe(error)

    def _put(self, frame: ReadFrame, deliver: Callable[[Outcome], None]) -> None:
        with self._changed:
            self._waiting += 1
        try:
            self._line.batcher.put(Waiting(payload=frame.payload, deliver=deliver))
        except InferenceError as error:
            deliver(error)

    def _deliver(
        self, held: Reservation, frame: OpenFrame, windowing: str, outcome: Outcome
    ) -> None:
        held.release()
        tally = frame.tally
        if isinstance(outcome, InferenceError):
            if outcome.retryable or isinstance(outcome, ScoreError):
                self._stop(outcome)
            else:
                tally.error = str(outcome)
        else:
            tally.scores[frame.number] = outcome
            tally.windowings.add(windowing)
        with self._changed:
            self._waiting -= 1
            if not self._waiting:
                self._changed.notify_all()

    def _stop(self, error: InferenceError) -> None:
        """Give the study up; what is on its way is let through."""
        with self._changed:
            self._fatal = self._fatal or error


def _describe(error: Exception) -> str:
    """Say what went wrong without the text of a foreign error, which may hold data."""
    if isinstance(error, PixelError):
        return str(error)
    return f"the image cannot be decoded ({type(error).__name__})"
