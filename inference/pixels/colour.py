"""Colour frames -> RGB planes in [0, 1]: palettes, YBR, bit depth."""

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.api import Image
from inference.pixels.attributes import has, words
from inference.pixels.decode import StoredFrame
from inference.pixels.layout import PALETTE, PixelLayout
from inference.pixels.lut import (
    Descriptor,
    Table,
    expand_segments,
    look_up,
    read_descriptor,
    read_table,
)
from inference.pixels.native import Samples

# ITU-R BT.601 luma, as YBR_FULL has it (PS3.3 C.7.6.3.1.2).
_LUMA = (0.299, 0.587, 0.114)


def colour_planes(frame: StoredFrame, dataset: Dataset, layout: PixelLayout) -> Image:
    """Turn a colour frame into (3, rows, columns), red, green, blue in [0, 1]."""
    if layout.photometric == PALETTE:
        return _apply_palette(frame.values, dataset, layout)
    highest = np.float32((1 << layout.bits_stored) - 1)
    planes = np.ascontiguousarray(frame.values.transpose(2, 0, 1), np.float32)
    planes /= highest
    if frame.is_ybr:
        planes = _ybr_to_rgb(planes, layout.bits_stored)
    clipped: Image = np.clip(planes, 0.0, 1.0, out=planes)
    return clipped


def luminance(planes: Image) -> Image:
    """Turn (3, rows, columns) RGB into (1, rows, columns)."""
    weights = np.array(_LUMA, np.float32)
    grey: Image = np.tensordot(weights, planes, axes=1)[np.newaxis].astype(np.float32)
    return grey


def _ybr_to_rgb(planes: Image, bits: int) -> Image:
    """Convert YBR_FULL. Source: PS3.3 C.7.6.3.1.2, centre 128 for 8 bits."""
    centre = np.float32((1 << (bits - 1)) / ((1 << bits) - 1))
    y, cb, cr = planes[0], planes[1] - centre, planes[2] - centre
    red, green, blue = _LUMA
    rgb = np.empty_like(planes)
    rgb[0] = y + np.float32(2 - 2 * red) * cr
    rgb[2] = y + np.float32(2 - 2 * blue) * cb
    rgb[1] = (y - np.float32(red) * rgb[0] - np.float32(blue) * rgb[2]) / np.float32(
        green
    )
    return rgb


def _apply_palette(values: Samples, dataset: Dataset, layout: PixelLayout) -> Image:
    """Look colours up. Source: PS3.3 C.7.6.3.1.5, C.7.9."""
    planes = np.empty((3, layout.rows, layout.columns), np.float32)
    for plane, colour in zip(planes, ("Red", "Green", "Blue"), strict=True):
        name = f"{colour}PaletteColorLookupTable"
        if not has(dataset, f"{name}Descriptor"):
            raise PixelError(f"{name}Descriptor is missing")
        lowest, highest = layout.stored_range
        descriptor = read_descriptor(
            dataset, f"{name}Descriptor", lowest=lowest, highest=highest
        )
        table = _read_palette(dataset, name, descriptor)
        scaled = table.astype(np.float32) / np.float32((1 << descriptor.bits) - 1)
        plane[...] = look_up(values, descriptor, np.minimum(scaled, np.float32(1)))
    return planes


def _read_palette(dataset: Dataset, name: str, descriptor: Descriptor) -> Table:
    if has(dataset, f"{name}Data"):
        return read_table(dataset, f"{name}Data", descriptor)
    segmented = f"Segmented{name}Data"
    if not has(dataset, segmented):
        raise PixelError(f"{name}Data is missing")
    return expand_segments(
        words(dataset, segmented), bits=descriptor.bits, entries=descriptor.entries
    )
