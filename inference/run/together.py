"""Which frames of a task are read and resized together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from inference.pixels.frames import FrameSource
from inference.run.tasks import SHORT_PIXELS, Tally

# Beside the stored values of a frame: bits unpacked, float32 planes, a resize.
_WORKING_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFrame:
    """A frame whose image is open.

    Args:
        number: from 1.
    """

    tally: Tally
    source: FrameSource
    number: int

    @property
    def samples(self) -> int:
        """How many samples it has."""
        layout = self.source.layout
        return layout.rows * layout.columns * layout.samples

    @property
    def size_bytes(self) -> int:
        """How many bytes decoding and preparing it take at the most."""
        bits = self.source.layout.frame_bits
        return -(-bits // 8) + self.samples * _WORKING_BYTES

    @property
    def is_short_work(self) -> bool:
        """Whether Python takes longer over it than reading and resizing do."""
        return not self.source.frame_table and self.samples <= SHORT_PIXELS


def group_frames(
    frames: Iterable[OpenFrame], *, limit_bytes: int
) -> Iterator[list[OpenFrame]]:
    """Put short work together, up to as many pixels as a task has; the rest is alone.

    Args:
        frames: taken one after the other, as no more images should be open than needed.
        limit_bytes: that a group may take.
    """
    group: list[OpenFrame] = []
    size_bytes = samples = 0
    for frame in frames:
        # What was inflated is in memory for as long as its image is open.
        if not frame.is_short_work or frame.source.pixels.content:
            yield [frame]
            continue
        if group and size_bytes + frame.size_bytes > limit_bytes:
            yield group
            group, size_bytes, samples = [], 0, 0
        group.append(frame)
        size_bytes += frame.size_bytes
        samples += frame.samples
        if samples >= SHORT_PIXELS:
            yield group
            group, size_bytes, samples = [], 0, 0
    if group:
        yield group
