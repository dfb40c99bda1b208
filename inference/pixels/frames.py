"""The way of one frame: open, decode, modality, VOI, photometric interpretation."""

from dataclasses import dataclass

import numpy as np

from dicom_node.core.errors import PixelError
from inference.api import Image, InputSpec
from inference.pixels.colour import colour_planes, luminance
from inference.pixels.decode import StoredFrame, as_decoded, decode_frame
from inference.pixels.layout import PixelLimits
from inference.pixels.modality import modality_frame
from inference.pixels.plan import is_inverted
from inference.pixels.read import FrameSource, open_image
from inference.pixels.voi import window_planes

__all__ = [
    "FrameSource",
    "PixelLimits",
    "WindowedFrame",
    "open_image",
    "windowed_frame",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedFrame:
    """A frame as a viewer would show it, ready for `prepare`.

    Args:
        planes: (planes, rows, columns) in [0, 1], 0 is black; one plane per window,
            or red, green and blue.
        windowing: what was done, for the record: "file window LINEAR",
            "file LUT 1/3", "model windows 1-3", "percentile 1-99", "colour".
    """

    planes: Image
    windowing: str


def windowed_frame(
    source: FrameSource, frame_number: int, spec: InputSpec
) -> WindowedFrame:
    """Decode one frame and window it as the model card chooses.

    Args:
        frame_number: from 1.

    Raises:
        PixelError: it cannot be decoded, or not be windowed as the card demands.

    Source: PS3.3 C.7.6.3, C.11.1, C.11.2, C.11.6; PS3.4 N.2.
    """
    if not 1 <= frame_number <= source.number_of_frames:
        raise PixelError("there is no frame with this number")
    with np.errstate(all="ignore"):
        frame = decode_frame(source, frame_number - 1)
        return show_stored(frame, source, spec, frame_number=frame_number)


def show_stored(
    stored: StoredFrame, source: FrameSource, spec: InputSpec, *, frame_number: int
) -> WindowedFrame:
    """Window a decoded frame step by step: the way that others are compared with."""
    source = as_decoded(source, stored)
    if not source.layout.is_monochrome:
        if spec.windowing == "model":
            raise PixelError("a colour image cannot be windowed by the model card")
        planes = colour_planes(stored, source.dataset, source.layout)
        if spec.channels == 1:
            return WindowedFrame(
                planes=luminance(planes), windowing="colour as luminance"
            )
        return WindowedFrame(planes=planes, windowing="colour")
    frame = modality_frame(
        stored.values, source.dataset, source.layout, frame_number=frame_number
    )
    planes, windowing = window_planes(
        frame, source.dataset, spec, frame_number=frame_number
    )
    if is_inverted(source):
        np.subtract(np.float32(1), planes, out=planes)
    if frame.padding is not None:
        planes[:, frame.padding] = 0.0
    return WindowedFrame(planes=planes, windowing=windowing)
