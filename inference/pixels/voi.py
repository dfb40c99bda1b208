"""Modality values -> windowed values in [0, 1]: VOI LUT, window, or statistics."""

from dataclasses import dataclass, replace

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
    low, length = window_ends(window)
    if length == 0:  # the ramp has no length: a step at `low`
        return (values > np.float32(low)).astype(np.float32)
    ramp = values - np.float32(low)
    ramp *= np.float32(1 / length)
    clipped: Image = np.clip(ramp, 0.0, 1.0, out=ramp)
    return clipped


def window_ends(window: Window) -> tuple[float, float]:
    """Return where the ramp of LINEAR or LINEAR_EXACT begins, and its length."""
    center, width = window.center, window.width
    if effective_function(window) == "LINEAR_EXACT":
        return center - width / 2, width
    return center - 0.5 - (width - 1) / 2, width - 1


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a frame is to be looked at with; full range where nothing is given.

    Args:
        windows: one plane for each.
        lut: item of a VOI LUT Sequence.
        percentiles: that become 0 and 1.
        name: for the record.
    """

    windows: tuple[Window, ...] = ()
    lut: Dataset | None = None
    percentiles: tuple[float, float] | None = None
    name: str


def choose_look(dataset: Dataset, spec: InputSpec, *, frame_number: int) -> Look:
    """Choose among what the file offers and the model card demands.

    Raises:
        PixelError: the file has no window and the card says refuse.
    """
    if spec.windowing == "model":
        if not spec.windows:
            raise PixelError("the model card asks for its own windows and has none")
        count = len(spec.windows)
        named = "model window" if count == 1 else f"model windows 1-{count}"
        return Look(windows=spec.windows, name=named)
    if spec.windowing == "file":
        return _choose_by_file(dataset, spec, frame_number)
    if spec.windowing != "percentile":
        raise PixelError("the model card's windowing is unknown")
    return _percentile_look(spec)


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
    look = choose_look(dataset, spec, frame_number=frame_number)
    return apply_look(frame, look), look.name


def apply_look(frame: ModalityFrame, look: Look) -> Image:
    """Turn modality values into (planes, rows, columns) in [0, 1]."""
    if len(look.windows) == 1:
        return apply_window(frame.values, look.windows[0])[np.newaxis]
    if look.windows:
        return np.stack([apply_window(frame.values, item) for item in look.windows])
    if look.lut is not None:
        return apply_voi_lut(frame, look.lut)[np.newaxis]
    low, high = frame.lowest, frame.highest
    if look.percentiles is not None:
        low, high = map(float, np.percentile(frame.valid_values, look.percentiles))
    return stretch(frame.values, low, high)[np.newaxis]


def stretch(values: Image, low: float, high: float) -> Image:
    """Map `low` to 0 and `high` to 1."""
    if not high > low:  # one value all over: nothing to see, so black
        return np.zeros_like(values)
    ramp = values - np.float32(low)
    ramp *= np.float32(1 / (high - low))
    clipped: Image = np.clip(ramp, 0.0, 1.0, out=ramp)
    return clipped


def _choose_by_file(dataset: Dataset, spec: InputSpec, frame_number: int) -> Look:
    """Choose the file's LUT or window; without one, the card's fallback."""
    offered = read_alternatives(dataset, frame_number=frame_number)
    index, count = spec.window_index, len(offered)
    if count and index >= count:
        raise PixelError("the file has fewer windows than the model card's index")
    of_several = f" {index + 1}/{count}" if count > 1 else ""
    if index < len(offered.luts):
        return Look(lut=offered.luts[index], name=f"file LUT{of_several}")
    if count:
        window = offered.windows[index - len(offered.luts)]
        if window.width > 0:
            named = f"file window {effective_function(window)}{of_several}"
            return Look(windows=(window,), name=named)
    return _fall_back(spec)


def _fall_back(spec: InputSpec) -> Look:
    reason = "(file has no window)"
    if spec.windowing_fallback == "percentile":
        look = _percentile_look(spec)
        return replace(look, name=f"{look.name} {reason}")
    if spec.windowing_fallback == "full_range":
        return Look(name=f"full range {reason}")
    raise PixelError("the file has no usable VOI LUT or WindowCenter/WindowWidth")


def _percentile_look(spec: InputSpec) -> Look:
    low, high = spec.percentiles
    return Look(percentiles=spec.percentiles, name=f"percentile {low:g}-{high:g}")
