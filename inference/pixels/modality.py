"""Stored values -> modality values: padding mask, then Modality LUT or rescale."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.api import Image
from inference.pixels.attributes import functional_groups, items, number, text
from inference.pixels.layout import PixelLayout
from inference.pixels.lut import look_up, read_descriptor, read_table
from inference.pixels.native import Samples

Mask = npt.NDArray[np.bool_]

_PADDING = {
    "PixelData": ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    "FloatPixelData": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    "DoubleFloatPixelData": (
        "DoubleFloatPixelPaddingValue",
        "DoubleFloatPixelPaddingRangeLimit",
    ),
}


# X-Ray Angiographic, X-Ray Radiofluoroscopic and the retired Bi-plane. PS3.4 B.5.
_ANGIOGRAMS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.12.1",
        "1.2.840.10008.5.1.4.1.1.12.2",
        "1.2.840.10008.5.1.4.1.1.12.3",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityFrame:
    """Modality values of one monochrome frame.

    Args:
        values: (rows, columns) in the unit of Rescale Type; 0 where not finite.
        padding: (rows, columns), True where there is no image; None for nowhere.
        lowest, highest: what the stored values could have become at most; the
            extremes of `values` for floats.
    """

    values: Image
    padding: Mask | None
    lowest: float
    highest: float

    @property
    def valid_values(self) -> Image:
        """The values outside the padding, flat.

        Raises:
            PixelError: there are none.
        """
        if self.padding is None:
            return self.values.ravel()
        valid: Image = self.values[~self.padding]
        if not valid.size:
            raise PixelError("the frame is padding all over")
        return valid


def modality_frame(
    stored: Samples, dataset: Dataset, layout: PixelLayout, *, frame_number: int
) -> ModalityFrame:
    """Mask the padding and apply the Modality LUT or the rescale.

    Raises:
        PixelError: RescaleSlope is 0, or no value of a float frame is finite.

    Source: PS3.3 C.7.5.1.1.2, C.11.1, C.7.6.16.2.9.
    """
    padding = mask_padding(stored, dataset, layout)
    lut = None if layout.is_float else modality_lut(dataset)
    if lut is not None:
        return _by_table(stored, lut, layout, padding)
    slope, intercept = read_rescale(dataset, frame_number=frame_number)
    is_wide = stored.dtype.itemsize > 2  # float32 holds 16 bits exactly, not 32
    wide: npt.NDArray[Any] = stored.astype(np.float64 if is_wide else np.float32)
    if (slope, intercept) != (1.0, 0.0):
        wide *= slope
        wide += intercept
    values: Image = wide.astype(np.float32, copy=False)
    return _frame(values, padding, layout, slope, intercept)


def modality_lut(dataset: Dataset) -> Dataset | None:
    """Return the item of the Modality LUT Sequence, None where none is to be applied.

    That of an angiogram leads back to the intensity of the X-rays: whoever shows the
    image ignores it.

    Source: PS3.3 C.11.1, C.8.7.1.1.2; PS3.4 N.2.5.
    """
    if "ModalityLUTSequence" not in dataset:
        return None
    if text(dataset, "SOPClassUID") in _ANGIOGRAMS:
        return None
    return next(iter(items(dataset, "ModalityLUTSequence")), None)


def read_rescale(dataset: Dataset, *, frame_number: int) -> tuple[float, float]:
    """Return slope and intercept of a frame; an empty one counts as absent.

    Raises:
        PixelError: RescaleSlope is 0, which would make every pixel the same.
    """
    groups = functional_groups(
        dataset, "PixelValueTransformationSequence", frame_number=frame_number
    )
    for place in (*groups, dataset):
        slope = number(place, "RescaleSlope")
        intercept = number(place, "RescaleIntercept")
        if slope == 0:
            raise PixelError("RescaleSlope is 0")
        if slope is not None or intercept is not None:
            return slope if slope is not None else 1.0, intercept or 0.0
    return 1.0, 0.0


def mask_padding(stored: Samples, dataset: Dataset, layout: PixelLayout) -> Mask | None:
    """Find Pixel Padding Value up to Pixel Padding Range Limit; None for nowhere."""
    bounds = padding_bounds(dataset, layout)
    if bounds is None:
        return None
    mask: Mask = (stored >= bounds[0]) & (stored <= bounds[1])
    return mask if mask.any() else None


def padding_bounds(dataset: Dataset, layout: PixelLayout) -> tuple[float, float] | None:
    """Return the lowest and the highest stored value that is padding.

    Source: PS3.3 C.7.5.1.1.2: both are stored values.
    """
    value_keyword, limit_keyword = _PADDING[layout.element]
    first = number(dataset, value_keyword)
    if first is None:
        return None
    last = number(dataset, limit_keyword)
    bounds = [_as_stored(v, layout) for v in (first, first if last is None else last)]
    return min(bounds), max(bounds)


def _as_stored(value: float, layout: PixelLayout) -> float:
    """Give a padding value the sign that its VR in the file may not have."""
    if layout.is_float:
        # As the pixels have it, or == would miss a value with more digits.
        return float(np.float32(value)) if layout.bits_allocated == 32 else value
    whole, modulus = int(value), 1 << max(layout.bits_allocated, 16)
    if layout.is_signed and whole >= modulus // 2:
        return whole - modulus
    if not layout.is_signed and whole < 0:
        return whole + modulus
    return whole


def _by_table(
    stored: Samples, item: Dataset, layout: PixelLayout, padding: Mask | None
) -> ModalityFrame:
    lowest, highest = layout.stored_range
    descriptor = read_descriptor(item, "LUTDescriptor", lowest=lowest, highest=highest)
    table = read_table(item, "LUTData", descriptor)
    return ModalityFrame(
        values=look_up(stored, descriptor, table.astype(np.float32)),
        padding=padding,
        lowest=0.0,
        highest=float((1 << descriptor.bits) - 1),
    )


def _frame(
    values: Image,
    padding: Mask | None,
    layout: PixelLayout,
    slope: float,
    intercept: float,
) -> ModalityFrame:
    if not layout.is_float:
        ends = sorted(bound * slope + intercept for bound in layout.stored_range)
        return ModalityFrame(
            values=values, padding=padding, lowest=ends[0], highest=ends[1]
        )
    finite = np.isfinite(values)
    if not finite.all():  # NaN is how parametric maps say "nothing here"
        if not finite.any():
            raise PixelError("no pixel value of the frame is a finite number")
        padding = ~finite if padding is None else padding | ~finite
        values = np.where(finite, values, np.float32(0))
    valid = values if padding is None else values[~padding]
    return ModalityFrame(
        values=values,
        padding=padding,
        lowest=float(valid.min()) if valid.size else 0.0,
        highest=float(valid.max()) if valid.size else 0.0,
    )
