"""Images of a study -> scores: decoded ahead in threads, batched across images."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from dicom_node.core.errors import InferenceError, PixelError, ScoreError
from dicom_node.core.types import ImageResult, InputFile
from inference.api import Image, Model, ModelCard
from inference.conclude import aggregate_frames
from inference.pixels.frames import open_image, windowed_frame
from inference.select.selection import Choice

_DECODE_THREADS = 4
_CHUNKS_AHEAD = 8
_CHUNK_FRAMES = 8

Scores = tuple[float, ...]


@dataclass(slots=True)
class _Tally:
    """What is known so far of one image."""

    file: InputFile
    skipped: str = ""
    chosen: tuple[int, ...] = ()
    error: str = ""
    scores: dict[int, Scores] = field(default_factory=dict)
    windowings: set[str] = field(default_factory=set)

    def result(self, card: ModelCard) -> ImageResult:
        """Return the image's result; an image of which a frame failed has failed."""
        uid = self.file.sop_instance_uid
        if self.skipped or self.error or not self.scores:
            error = self.error if self.skipped or self.error else "there are no frames"
            return ImageResult(sop_instance_uid=uid, skipped=self.skipped, error=error)
        frames = tuple(sorted(self.scores))
        return ImageResult(
            sop_instance_uid=uid,
            frames=frames,
            scores=aggregate_frames(card, [self.scores[frame] for frame in frames]),
            windowing=", ".join(sorted(self.windowings)),
        )


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame as model input."""

    tally: _Tally
    number: int
    values: Image
    windowing: str


def evaluate_images(model: Model, choices: Sequence[Choice]) -> tuple[ImageResult, ...]:
    """Score the frames that were chosen; a bad image fails alone.

    Images go to the model in the order of their SOP Instance UIDs, so that a study
    is batched alike however its files were listed.

    Returns:
        One result per choice, in the order given.

    Raises:
        InferenceError: retryable, the device cannot run the model now.
    """
    card = model.card
    tallies = [_Tally(item.file, item.skipped, item.frames) for item in choices]
    inside = [tally for tally in tallies if not tally.skipped]
    inside.sort(key=lambda tally: tally.file.sop_instance_uid)
    threads = ThreadPoolExecutor(_DECODE_THREADS, thread_name_prefix="decode")
    try:
        batch: list[_Frame] = []
        for frame in _decode_ahead(model, inside, threads):
            batch.append(frame)
            if len(batch) == card.batch_size:
                _score(model, batch)
                batch = []
        if batch:
            _score(model, batch)
    finally:
        threads.shutdown(cancel_futures=True)
    return tuple(tally.result(card) for tally in tallies)


def _decode_ahead(
    model: Model, tallies: Sequence[_Tally], threads: ThreadPoolExecutor
) -> Iterator[_Frame]:
    """Yield frames in order while the next ones are decoded, a bounded number."""
    waiting: deque[tuple[_Tally, Future[list[_Frame]]]] = deque()
    for tally, numbers in _chunks(tallies):
        waiting.append((tally, threads.submit(_decode, model, tally, numbers)))
        if len(waiting) > _CHUNKS_AHEAD:
            yield from _collect(*waiting.popleft())
    while waiting:
        yield from _collect(*waiting.popleft())


def _chunks(tallies: Sequence[_Tally]) -> Iterator[tuple[_Tally, tuple[int, ...]]]:
    for tally in tallies:
        for start in range(0, len(tally.chosen), _CHUNK_FRAMES):
            yield tally, tally.chosen[start : start + _CHUNK_FRAMES]


def _decode(model: Model, tally: _Tally, numbers: Sequence[int]) -> list[_Frame]:
    """Decode frames of one image; its file is opened anew in every thread."""
    spec = model.card.input
    source = open_image(tally.file.path)
    frames = []
    for number in numbers:
        windowed = windowed_frame(source, number, spec)
        values = model.prepare(windowed.planes)
        frames.append(_Frame(tally, number, values, windowed.windowing))
    return frames


def _collect(tally: _Tally, future: Future[list[_Frame]]) -> list[_Frame]:
    try:
        frames = future.result()
    except Exception as error:  # noqa: BLE001 - a bad image fails alone
        tally.error = _describe(error)
        return []
    return [] if tally.error else frames


def _score(model: Model, batch: Sequence[_Frame]) -> None:
    """Score a batch; where it fails as a whole, find the image that it fails on."""
    try:
        table = model.predict(np.stack([frame.values for frame in batch]))
    except ScoreError:
        raise  # the model cannot be trusted with the other images either
    except InferenceError as error:
        if error.retryable:
            raise
        if len(batch) == 1:
            batch[0].tally.error = str(error)
        else:
            for frame in batch:
                _score(model, [frame])
        return
    for frame, row in zip(batch, table, strict=True):
        frame.tally.scores[frame.number] = tuple(float(value) for value in row)
        frame.tally.windowings.add(frame.windowing)


def _describe(error: Exception) -> str:
    """Say what went wrong without the text of a foreign error, which may hold data."""
    if isinstance(error, PixelError):
        return str(error)
    return f"the image cannot be decoded ({type(error).__name__})"
