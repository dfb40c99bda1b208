"""Modality values -> windowed values in [0, 1]: VOI LUT, window, or statistics."""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.api import Image, InputSpec, Window
from inference.pixels.attributes import functional_groups, items, numbers, text
from inference.pixels.lut import look_up, read_descriptor, read_table
from inference.pixels.modality import ModalityFrame

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """What a file offers to look at a frame with: LUTs first, then windows."""

    luts: tuple[Dataset, ...] = ()
    windows: tuple[Window, ...] = ()

    def __len__(self) -> int:
        return len(self.luts) + len(self.windows)


def apply_window(values: Image, window: Window) -> Image:
    """Map modality values onto [0, 1] by the window's function.

    A LINEAR window narrower than 1, which the standard forbids and ADC, PET and
    parametric maps have, is read as LINEAR_EXACT.

    Raises:
        PixelError: the width is not above 0, or the function is unknown.

    Source: PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2
    (LINEAR_EXACT).
    """
    center, width = window.center, window.width
    if not width > 0:
        raise PixelError("WindowWidth is not above 0")
    function = effective_function(window)
    if function == "SIGMOID":
        # Beyond +-80 float32 is 0 or 1 already; exp would overflow.
        exponent = np.clip((values - np.float32(center)) * (4 / width), -80.0, 80.0)
        curve: Image = 1 / (1 + np.exp(-exponent, dtype=np.float32))
        return curve
    if function == "LINEAR_EXACT":
        low, length = center - width / 2, width
    else:
        low, length = center - 0.5 - (width - 1) / 2, width - 1
        if length == 0:  # the ramp has no length: a step at `low`
            return (values > np.float32(low)).astype(np.float32)
    ramp = values - np.float32(low)
    ramp *= np.float32(1 / length)
    clipped: Image = np.clip(ramp, 0.0, 1.0, out=ramp)
    return clipped


def effective_function(window: Window) -> str:
    """Return the function that a window is applied with."""
    if window.function not in _FUNCTIONS:
        raise PixelError("VOILUTFunction is none of LINEAR, LINEAR_EXACT and SIGMOID")
    if window.function == "LINEAR" and window.width < 1:
        return "LINEAR_EXACT"
    return window.function


def apply_voi_lut(frame: ModalityFrame, item: Dataset) -> Image:
    """Map modality values onto [0, 1] by one item of the VOI LUT Sequence.

    Source: PS3.3 C.11.2.1.1: output runs from 0 to 2^n - 1, n bits an entry.
    """
    descriptor = read_descriptor(
        item, "LUTDescriptor", lowest=frame.lowest, highest=frame.highest
    )
    table = read_table(item, "LUTData", descriptor)
    scaled = table.astype(np.float32) / np.float32((1 << descriptor.bits) - 1)
    return look_up(frame.values, descriptor, np.minimum(scaled, np.float32(1)))


def read_alternatives(dataset: Dataset, *, frame_number: int) -> Alternatives:
    """Collect the VOI LUTs and windows of one frame.

    A window without its partner, or without a width, is no window.

    Source: PS3.3 C.11.2.1, C.7.6.16.2.10 (Frame VOI LUT).
    """
    groups = functional_groups(
        dataset, "FrameVOILUTSequence", frame_number=frame_number
    )
    for place in (*groups, dataset):
        function = text(place, "VOILUTFunction") or "LINEAR"
        pairs = zip(
            numbers(place, "WindowCenter"), numbers(place, "WindowWidth"), strict=False
        )
        found = Alternatives(
            luts=items(place, "VOILUTSequence"),
            windows=tuple(
                Window(center=center, width=width, function=function)
                for center, width in pairs
            ),
        )
        if len(found):
            return found
    return Alternatives()


def window_planes(
    frame: ModalityFrame, dataset: Dataset, spec: InputSpec, *, frame_number: int
) -> tuple[Image, str]:
    """Window one monochrome frame as the model card chooses.

    Returns:
        (planes, rows, columns) in [0, 1], before any inversion, and what was
        done, for the record.

    Raises:
        PixelError: the file has no window and the card says refuse.
    """
    if spec.windowing == "model":
        if not spec.windows:
            raise PixelError("the model card asks for its own windows and has none")
        planes = [apply_window(frame.values, window) for window in spec.windows]
        count = len(planes)
        named = "model window" if count == 1 else f"model windows 1-{count}"
        return np.stack(planes), named
    if spec.windowing == "file":
        plane, named = _by_file(frame, dataset, spec, frame_number)
    elif spec.windowing == "percentile":
        plane, named = stretch_percentiles(frame, spec.percentiles)
    else:
        raise PixelError("the model card's windowing is unknown")
    return plane[np.newaxis], named


def stretch_percentiles(
    frame: ModalityFrame, percentiles: tuple[float, float]
) -> tuple[Image, str]:
    """Map two percentiles of the values outside the padding to 0 and 1."""
    low, high = np.percentile(frame.valid_values, percentiles)
    named = f"percentile {percentiles[0]:g}-{percentiles[1]:g}"
    return _stretch(frame.values, float(low), float(high)), named


def _by_file(
    frame: ModalityFrame, dataset: Dataset, spec: InputSpec, frame_number: int
) -> tuple[Image, str]:
    """Use the file's LUT or window; without one, the card's fallback."""
    offered = read_alternatives(dataset, frame_number=frame_number)
    index, count = spec.window_index, len(offered)
    if count and index >= count:
        raise PixelError("the file has fewer windows than the model card's index")
    of_several = f" {index + 1}/{count}" if count > 1 else ""
    if index < len(offered.luts):
        return apply_voi_lut(frame, offered.luts[index]), f"file LUT{of_several}"
    if count:
        window = offered.windows[index - len(offered.luts)]
        if window.width > 0:
            named = f"file window {effective_function(window)}{of_several}"
            return apply_window(frame.values, window), named
    return _fall_back(frame, spec)


def _fall_back(frame: ModalityFrame, spec: InputSpec) -> tuple[Image, str]:
    if spec.windowing_fallback == "percentile":
        plane, named = stretch_percentiles(frame, spec.percentiles)
    elif spec.windowing_fallback == "full_range":
        plane = _stretch(frame.values, frame.lowest, frame.highest)
        named = "full range"
    else:
        raise PixelError("the file has no usable VOI LUT or WindowCenter/WindowWidth")
    return plane, f"{named} (file has no window)"


def _stretch(values: Image, low: float, high: float) -> Image:
    if not high > low:  # one value all over: nothing to see, so black
        return np.zeros_like(values)
    ramp = values - np.float32(low)
    ramp *= np.float32(1 / (high - low))
    clipped: Image = np.clip(ramp, 0.0, 1.0, out=ramp)
    return clipped
