"""Frames with nothing in them, of which a model would say something all the same."""

from typing import Final

from dicom_node.core.errors import PixelError
from inference.pixels.native import Samples
from inference.pixels.read import FrameSource

_EVERY: Final = 16  # pixels; looked at first, which ends it for nearly every image


def refuse_blank(pixels: Samples, source: FrameSource) -> None:
    """Refuse an image whose only frame has the same value, or colour, everywhere.

    Among many frames an empty one is usual, as before contrast medium arrives.

    Args:
        pixels: (rows, columns) or (rows, columns, samples).

    Raises:
        PixelError: there is nothing to see.
    """
    if source.number_of_frames > 1:
        return
    first = pixels[:1, :1]
    if (pixels[::_EVERY, ::_EVERY] == first).all() and (pixels == first).all():
        raise PixelError("every pixel has the same value: there is nothing to see")
