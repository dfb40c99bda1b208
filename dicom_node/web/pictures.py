"""A frame as the page shows it: modality values for windowing, or colours."""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from dicom_node.core.errors import PixelError
from dicom_node.web.picture_presets import Asked, Preset, aspect_of, presets_of
from inference.api import Image
from inference.pixels.colour import colour_planes
from inference.pixels.decode import as_decoded, decode_frame
from inference.pixels.layout import PixelLimits
from inference.pixels.modality import ModalityFrame, modality_frame
from inference.pixels.plan import is_inverted
from inference.pixels.read import FrameSource, open_image
from inference.pixels.voi import apply_window

Bytes = npt.NDArray[np.uint8]

# A page is to recognise a finding, not to measure one: longer sides are averaged down.
SIDE_MAX: Final = 1536
LEVELS: Final = 65535  # of grey; one more stands for padding
PADDING: Final = LEVELS
LIMITS: Final = PixelLimits(
    frame_bytes=256 << 20, inflated_bytes=256 << 20, seconds=20.0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One frame, not yet windowed.

    Args:
        levels: (rows, columns) of 0..65534, PADDING where there is no image; of a
            colour image (rows, columns, 3) of 0..255.
        slope, intercept: modality value = slope * level + intercept.
        inverted: low values are white.
        aspect: height of a pixel over its width.
        frames: that the image has.
        presets: the first is the one to begin with; () for colour.
    """

    levels: npt.NDArray[np.uint16] | Bytes
    slope: float
    intercept: float
    inverted: bool
    aspect: float
    frames: int
    presets: tuple[Preset, ...]

    @property
    def is_colour(self) -> bool:
        """Whether there is nothing to window."""
        return self.levels.ndim == 3


def read_picture(path: Path, frame_number: int, asked: Asked) -> Picture:
    """Decode one frame.

    Args:
        frame_number: from 1.

    Raises:
        PixelError: it cannot be decoded, or is larger than a page may load.
    """
    source = open_image(path, limits=LIMITS)
    if not 1 <= frame_number <= source.number_of_frames:
        raise PixelError("there is no frame with this number")
    with np.errstate(all="ignore"):
        stored = decode_frame(source, frame_number - 1)
        source = as_decoded(source, stored)
        if not source.layout.is_monochrome:
            planes = colour_planes(stored, source.dataset, source.layout)
            return _colour(planes, source, path)
        frame = modality_frame(
            stored.values, source.dataset, source.layout, frame_number=frame_number
        )
        presets = presets_of(frame, source, frame_number, asked)
        return _grey(frame, presets, source, path)


def _colour(planes: Image, source: FrameSource, path: Path) -> Picture:
    small = np.stack([_shrink(plane) for plane in planes], axis=-1)
    return Picture(
        levels=np.rint(small * 255).astype(np.uint8),
        slope=1.0,
        intercept=0.0,
        inverted=False,
        aspect=aspect_of(source, path),
        frames=source.number_of_frames,
        presets=(),
    )


def _grey(
    frame: ModalityFrame, presets: Sequence[Preset], source: FrameSource, path: Path
) -> Picture:
    valid = frame.valid_values
    low, high = float(valid.min()), float(valid.max())
    values = frame.values
    if frame.padding is not None:  # or averaging would draw a rim of it
        values = np.where(frame.padding, np.float32(low), values)
    small = _shrink(values)
    slope = (high - low) / (LEVELS - 1) or 1.0
    levels = np.clip(np.rint((small - low) / slope), 0, LEVELS - 1).astype(np.uint16)
    if frame.padding is not None:
        levels[_shrink(frame.padding.astype(np.float32)) > 0.5] = PADDING
    return Picture(
        levels=levels,
        slope=slope,
        intercept=low,
        inverted=is_inverted(source),
        aspect=aspect_of(source, path),
        frames=source.number_of_frames,
        presets=tuple(presets),
    )


def _shrink(plane: Image) -> Image:
    """Average a plane down until its longer side is at most SIDE_MAX."""
    rows, columns = plane.shape
    ratio = max(rows, columns) / SIDE_MAX
    if ratio <= 1:
        return plane
    size = max(round(columns / ratio), 1), max(round(rows / ratio), 1)
    image = Pillow.fromarray(np.ascontiguousarray(plane, np.float32))
    small: Image = np.asarray(image.resize(size, Pillow.Resampling.BOX), np.float32)
    return small


def pack_picture(picture: Picture) -> bytes:
    """Write what the page's script reads.

    The length of a JSON text as a little endian 32-bit number, that text, and the
    levels: 16-bit little endian, or RGB bytes.
    """
    rows, columns = picture.levels.shape[:2]
    about: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "colour": picture.is_colour,
        "slope": picture.slope,
        "intercept": picture.intercept,
        "inverted": picture.inverted,
        "padding": PADDING,
        "aspect": picture.aspect,
        "frames": picture.frames,
        "presets": [asdict(preset) for preset in picture.presets],
    }
    text = json.dumps(about).encode()
    kind = "u1" if picture.is_colour else "<u2"
    return struct.pack("<I", len(text)) + text + picture.levels.astype(kind).tobytes()


def draw_picture(picture: Picture, *, preset: str = "", side: int = SIDE_MAX) -> bytes:
    """Write a PNG, windowed by the preset of this key; by the first without one.

    Args:
        side: the longer side of the PNG at most, in pixels.

    Raises:
        PixelError: there is no such preset.
    """
    shown = picture.levels if picture.is_colour else _windowed(picture, preset)
    image = Pillow.fromarray(np.ascontiguousarray(shown, np.uint8))
    rows, columns = shown.shape[:2]
    height, width = rows * max(picture.aspect, 1), columns / min(picture.aspect, 1)
    scale = min(side / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    if size != (columns, rows):
        image = image.resize(size, Pillow.Resampling.BILINEAR)
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _windowed(picture: Picture, key: str) -> Bytes:
    found = [item for item in picture.presets if not key or item.key == key]
    if not found:
        raise PixelError("there is no such window preset")
    chosen = found[0]
    steps = np.arange(LEVELS, dtype=np.float32)
    if chosen.curve:
        places = np.linspace(0, LEVELS - 1, len(chosen.curve))
        fine = np.interp(steps, places, np.array(chosen.curve) / 255)
        grey: Image = fine.astype(np.float32)
    else:
        values = (steps * picture.slope + picture.intercept).astype(np.float32)
        grey = apply_window(values, chosen.window)
    table = np.zeros(LEVELS + 1, np.uint8)  # the last one is padding: black
    table[:LEVELS] = np.rint((1 - grey if picture.inverted else grey) * 255)
    shown: Bytes = table[picture.levels]
    return shown
