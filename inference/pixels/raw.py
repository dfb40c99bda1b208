"""A frame as it was decoded, with all that is needed to make model input of it."""

from dataclasses import dataclass, replace

import numpy as np

from dicom_node.core.errors import PixelError
from inference.api import InputSpec
from inference.pixels.decode import StoredFrame, as_decoded, decode_frame
from inference.pixels.frames import show_stored
from inference.pixels.native import Samples
from inference.pixels.plan import plan_frame
from inference.pixels.read import FrameSource
from inference.pixels.recipe import READY, Ramp, Recipe
from inference.pixels.reduced import decode_reduced

_FAST_TYPES = ("i1", "u1", "i2", "u2")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFrame:
    """One decoded frame and its recipe.

    Args:
        stored: (rows, columns) or (rows, columns, 3), stored values of 8 or 16 bits,
            contiguous; (planes, rows, columns) float32 in [0, 1] where the recipe
            has no curves.
        windowing: what the recipe does, for the record: "file window LINEAR",
            "file LUT 1/3", "model windows 1-3", "percentile 1-99", "colour", then
            ", decoded at 1/8" where that was so.
    """

    stored: Samples
    recipe: Recipe
    windowing: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        if self.recipe.curves:
            return self.stored.shape[0], self.stored.shape[1]
        return self.stored.shape[1], self.stored.shape[2]

    @property
    def pixels(self) -> Samples:
        """The stored values, or what is shown of them, colours last."""
        return self.stored if self.recipe.curves else self.stored.transpose(1, 2, 0)

    @property
    def planes(self) -> int:
        """How many planes the frame has once it is shown."""
        if not self.recipe.curves:
            return int(self.stored.shape[0])
        return 3 if self.stored.ndim == 3 else len(self.recipe.curves)


def read_frame(source: FrameSource, frame_number: int, spec: InputSpec) -> RawFrame:
    """Decode one frame and say how it is to be shown.

    Where the model card allows a reduced decode, the frame may be smaller than its
    header says.

    Args:
        frame_number: from 1.

    Raises:
        PixelError: it cannot be decoded, or not be windowed as the card demands.

    Source: PS3.3 C.7.6.3, C.11.1, C.11.2, C.11.6; PS3.4 N.2.
    """
    if not 1 <= frame_number <= source.number_of_frames:
        raise PixelError("there is no frame with this number")
    with np.errstate(all="ignore"):
        if spec.reduced_decode:
            reduced = decode_reduced(source, frame_number - 1, spec)
            if reduced is not None:
                raw = cook_frame(reduced.frame, source, spec, frame_number=frame_number)
                how = f"{raw.windowing}, decoded at 1/{reduced.factor}"
                return replace(raw, windowing=how)
        frame = decode_frame(source, frame_number - 1)
        return cook_frame(frame, source, spec, frame_number=frame_number)


def cook_frame(
    frame: StoredFrame, source: FrameSource, spec: InputSpec, *, frame_number: int
) -> RawFrame:
    """Say how a decoded frame is to be shown; where no recipe can say it, show it."""
    source = as_decoded(source, frame)
    # torch takes no array that it might not write to.
    stored = np.require(frame.values, requirements=("C", "W"))
    is_short = stored.dtype.isnative and stored.dtype.str[1:] in _FAST_TYPES
    if source.layout.is_monochrome and is_short:
        recipe, windowing = plan_frame(stored, source, spec, frame_number=frame_number)
        return RawFrame(stored=stored, recipe=recipe, windowing=windowing)
    is_rgb = stored.ndim == 3 and not frame.is_ybr
    if is_rgb and is_short and spec.channels == 3 and spec.windowing != "model":
        white = float((1 << source.layout.bits_stored) - 1)
        recipe = Recipe(curves=(Ramp(black=0.0, white=white),))
        return RawFrame(stored=stored, recipe=recipe, windowing="colour")
    shown = show_stored(frame, source, spec, frame_number=frame_number)
    planes = np.ascontiguousarray(shown.planes, np.float32)
    return RawFrame(stored=planes, recipe=READY, windowing=shown.windowing)
