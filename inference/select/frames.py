"""Choose frames of a volume, of an image or of a whole study."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from inference.select.spec import SelectionSpec
from inference.volume import Volume, VolumeFrame

T = TypeVar("T")


def choose_frames(number_of_frames: int, limit: int) -> tuple[int, ...]:
    """Choose at most `limit` frames, evenly spread; numbers count from 1."""
    if number_of_frames <= limit:
        return tuple(range(1, number_of_frames + 1))
    # The middle of each of `limit` equal stretches.
    middles = (np.arange(limit) + 0.5) * number_of_frames / limit
    return tuple(int(middle) + 1 for middle in middles)


def spread(items: Sequence[T], limit: int) -> tuple[T, ...]:
    """Choose at most `limit` items, evenly spread over their order."""
    return tuple(items[number - 1] for number in choose_frames(len(items), limit))


def frames_of_volume(volume: Volume, spec: SelectionSpec) -> tuple[VolumeFrame, ...]:
    """Choose frames of a volume as the card says, counted along its normal.

    Of several frames at one position "first", "middle" and "every_nth" see one.
    """
    if spec.frames == "first":
        return volume.distinct[:1]
    if spec.frames == "middle":
        frames = volume.distinct
        return frames[len(frames) // 2 :][:1]
    if spec.frames == "every_nth":
        return volume.distinct[:: spec.nth or 1]
    return volume.frames


def describe_frames(spec: SelectionSpec, *, max_frames: int) -> str:
    """Say which frames the card chooses."""
    nth = spec.nth or 1
    return {
        "all": "all",
        "first": "the first of each volume",
        "middle": "the middle of each volume",
        "every_nth": f"every {nth}{_ordinal(nth)} of each volume",
        "key": "those named by a Key Object Selection",
    }.get(spec.frames, f"at most {max_frames} of each image, evenly spread")


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
