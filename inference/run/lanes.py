"""The ways of a frame from its file to the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from inference.api import Image, Model
from inference.pixels.blank import refuse_blank
from inference.pixels.frames import FrameSource, windowed_frame
from inference.pixels.fused import (
    ResizedFrame,
    check_planes,
    normalise,
    to_input,
)
from inference.pixels.grouped import resize_frames
from inference.pixels.raw import RawFrame, read_frame
from inference.vit.model import TimmModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFrame:
    """A frame as it waits for its batch.

    Args:
        payload: what the lane's `reduce` takes, and then its `start`.
        size_bytes: of the payload.
    """

    payload: Any
    windowing: str
    size_bytes: int


class Lane(Protocol):
    """Reads frames in threads, runs batches in one."""

    def read(self, source: FrameSource, number: int) -> ReadFrame:
        """Decode one frame; called by several threads at once."""

    def reduce(self, frames: Sequence[ReadFrame]) -> Sequence[ReadFrame]:
        """Make of frames that were read what waits for a batch, in the same order."""

    def start(self, payloads: Sequence[Any]) -> Callable[[], Image]:
        """Start a batch of payloads; what is returned waits for the scores."""


def make_lane(model: Model) -> Lane:
    """Choose the fastest way that this model has."""
    if not isinstance(model, TimmModel):
        return PlainLane(model)
    return CudaLane(model) if model.device.startswith("cuda") else TensorLane(model)


class PlainLane:
    """For a class that is a `Model` and no more: arrays in, arrays out."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def read(self, source: FrameSource, number: int) -> ReadFrame:
        """Decode, window and prepare a frame."""
        windowed = windowed_frame(source, number, self._model.card.input)
        refuse_blank(windowed.planes.transpose(1, 2, 0), source)
        values = self._model.prepare(windowed.planes)
        return ReadFrame(
            payload=values, windowing=windowed.windowing, size_bytes=values.nbytes
        )

    def reduce(self, frames: Sequence[ReadFrame]) -> Sequence[ReadFrame]:
        """Leave them as they are: `prepare` has made them small."""
        return frames

    def start(self, payloads: Sequence[Image]) -> Callable[[], Image]:
        """Score a batch."""
        scores = self._model.predict(np.stack(payloads))
        return lambda: scores


class TensorLane:
    """On the CPU frames are resized where they are decoded, small ones together."""

    def __init__(self, model: TimmModel) -> None:
        self._model = model

    def read(self, source: FrameSource, number: int) -> ReadFrame:
        """Decode a frame."""
        spec = self._model.card.input
        raw = read_frame(source, number, spec)
        refuse_blank(raw.pixels, source)
        check_planes(raw, spec)
        return ReadFrame(
            payload=raw, windowing=raw.windowing, size_bytes=raw.stored.nbytes
        )

    def reduce(self, frames: Sequence[ReadFrame]) -> Sequence[ReadFrame]:
        """Resize frames to the model's input."""
        spec = self._model.card.input
        resized = resize_frames([frame.payload for frame in frames], spec)
        # The batch holds each frame once more, with all channels.
        input_bytes = 4 * spec.channels * spec.size[0] * spec.size[1]
        return [
            replace(frame, payload=made, size_bytes=made.size_bytes + input_bytes)
            for frame, made in zip(frames, resized, strict=True)
        ]

    def start(self, payloads: Sequence[ResizedFrame]) -> Callable[[], Image]:
        """Score a batch."""
        return self._model.start(normalise(payloads, self._model.card.input))


class CudaLane:
    """On CUDA stored values go to the device, which makes model input of them.

    Transfer and preparation run on a stream of their own, beside the batch before.
    """

    def __init__(self, model: TimmModel) -> None:
        self._model = model
        self._device = torch.device(model.device)
        self._side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def read(self, source: FrameSource, number: int) -> ReadFrame:
        """Decode a frame; its stored values go to the device as they are."""
        raw = read_frame(source, number, self._model.card.input)
        refuse_blank(raw.pixels, source)
        return ReadFrame(
            payload=raw, windowing=raw.windowing, size_bytes=raw.stored.nbytes
        )

    def reduce(self, frames: Sequence[ReadFrame]) -> Sequence[ReadFrame]:
        """Leave them as they are: the device makes them small."""
        return frames

    def start(self, payloads: Sequence[RawFrame]) -> Callable[[], Image]:
        """Start a batch."""
        with torch.cuda.device(self._device):
            with torch.cuda.stream(self._side):
                batch = to_input(payloads, self._model.card.input, self._device)
            stream = torch.cuda.current_stream(self._device)
            stream.wait_stream(self._side)
            batch.record_stream(stream)
            finish = self._model.start(batch)

        return finish
