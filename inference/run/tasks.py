"""What is known of each image of a study, and how its decoding is cut into tasks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dicom_node.core.types import ImageResult, InputFile
from inference.api import ModelCard
from inference.conclude import aggregate_frames
from inference.pixels.frames import FrameSource
from inference.run.batcher import Scores

_CHUNK_FRAMES: Final = 8
# Frames up to this size are hundreds of short steps: threads that take turns at each
# of them need twice the time of one thread.
SHORT_PIXELS: Final = 1 << 20


@dataclass(slots=True)
class Tally:
    """What is known so far of one image."""

    file: InputFile
    opened: Callable[[FrameSource], None]
    skipped: str = ""
    chosen: tuple[int, ...] = ()
    error: str = ""
    scores: dict[int, Scores] = field(default_factory=dict)
    windowings: set[str] = field(default_factory=set)
    seconds: float = 0.0  # of reading and decoding so far

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
            peaks=_peaks(self.scores) if len(frames) > 1 else (),
        )


Task = list[tuple[Tally, tuple[int, ...]]]


def cut_tasks(tallies: Sequence[Tally]) -> Iterator[Task]:
    """Cut the work into tasks: some frames of a large image, or some small images."""
    task: Task = []
    pixels = 0
    for tally, numbers in _chunks(tallies):
        header = tally.file.header
        task.append((tally, numbers))
        size = (header.rows or 0) * (header.columns or 0)
        pixels += len(numbers) * (size or SHORT_PIXELS)
        if pixels >= SHORT_PIXELS or len(task) >= _CHUNK_FRAMES:
            yield task
            task, pixels = [], 0
    if task:
        yield task


def _chunks(tallies: Sequence[Tally]) -> Iterator[tuple[Tally, tuple[int, ...]]]:
    for tally in tallies:
        for start in range(0, len(tally.chosen), _CHUNK_FRAMES):
            yield tally, tally.chosen[start : start + _CHUNK_FRAMES]


def _peaks(scores: Mapping[int, Scores]) -> tuple[int, ...]:
    """Name the frame with the highest score of each class, the first of equals."""
    frames = sorted(scores)
    return tuple(
        max(frames, key=lambda frame: scores[frame][index])
        for index in range(len(scores[frames[0]]))
    )
