"""Which windows the page offers for a frame, and the shape of its pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom

from dicom_node.core.errors import PixelError
from inference.api import Window
from inference.pixels.attributes import functional_groups, numbers, text
from inference.pixels.border import third_party
from inference.pixels.modality import ModalityFrame
from inference.pixels.read import FrameSource
from inference.pixels.voi import (
    apply_voi_lut,
    effective_function,
    read_alternatives,
)

_FILE_MAX: Final = 4
_CURVE_POINTS: Final = 1024
_PERCENTILES: Final = (1.0, 99.0)
# In HU, as radiology departments commonly set them.
_CT: Final = (
    ("lung", Window(center=-600, width=1500)),
    ("soft", Window(center=50, width=400)),
    ("bone", Window(center=400, width=1800)),
    ("brain", Window(center=40, width=80)),
)
_WIDEST_ASPECT: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model looked at the images with.

    Args:
        windows: of its card; () where it takes the file's or percentiles.
        percentiles: None where it takes windows.
    """

    windows: tuple[Window, ...] = ()
    percentiles: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One way to look at a frame.

    Args:
        key: "file-1", "model-1", "percentile", "lung", "soft", "bone", "brain", "full".
        center, width: in modality values, from where dragging begins.
        curve: of a VOI LUT: grey 0..255 at equal steps over all levels; () for windows.
    """

    key: str
    center: float
    width: float
    function: str = "LINEAR_EXACT"
    curve: tuple[int, ...] = ()

    @property
    def window(self) -> Window:
        """The window, for a preset without a curve."""
        return Window(center=self.center, width=self.width, function=self.function)


def presets_of(
    frame: ModalityFrame, source: FrameSource, frame_number: int, asked: Asked
) -> tuple[Preset, ...]:
    """Return the ways to look at a monochrome frame; at least one."""
    return (
        *_of_file(frame, source, frame_number),
        *(_preset(f"model-{n}", item) for n, item in enumerate(asked.windows, 1)),
        _of_percentiles(frame, asked),
        *(_preset(key, item) for key, item in _CT if _is_hounsfield(source)),
        _span("full", float(frame.valid_values.min()), float(frame.valid_values.max())),
    )


def _of_file(
    frame: ModalityFrame, source: FrameSource, frame_number: int
) -> Iterator[Preset]:
    try:
        offered = read_alternatives(source.dataset, frame_number=frame_number)
    except PixelError:
        return  # a broken window is no reason to show nothing
    low, high = float(frame.valid_values.min()), float(frame.valid_values.max())
    number = 0
    for lut in offered.luts[:_FILE_MAX]:
        ramp = ModalityFrame(
            values=np.linspace(low, high, _CURVE_POINTS, dtype=np.float32)[np.newaxis],
            padding=None,
            lowest=frame.lowest,
            highest=frame.highest,
        )
        try:
            grey = apply_voi_lut(ramp, lut)[0]
        except PixelError:
            continue
        number += 1
        curve = tuple(int(step) for step in np.rint(grey * 255))
        span = _span("", low, high)
        yield Preset(
            key=f"file-{number}", center=span.center, width=span.width, curve=curve
        )
    for window in offered.windows[: _FILE_MAX - number]:
        try:
            usable = window.width > 0 and bool(effective_function(window))
        except PixelError:
            continue
        if usable:
            number += 1
            yield _preset(f"file-{number}", window)


def _of_percentiles(frame: ModalityFrame, asked: Asked) -> Preset:
    ends = asked.percentiles or _PERCENTILES
    low, high = map(float, np.percentile(frame.valid_values, ends))
    return _span("percentile", low, high)


def _span(key: str, low: float, high: float) -> Preset:
    return Preset(key=key, center=(low + high) / 2, width=max(high - low, 1e-6))


def _preset(key: str, window: Window) -> Preset:
    return Preset(
        key=key,
        center=window.center,
        width=window.width,
        function=effective_function(window),
    )


def _is_hounsfield(source: FrameSource) -> bool:
    unit = text(source.dataset, "RescaleType")
    return text(source.dataset, "Modality") == "CT" and unit in ("", "HU")


def aspect_of(source: FrameSource, path: Path) -> float:
    """Return height over width of a pixel, 1 where nothing usable is said.

    Source: PS3.3 C.7.6.3.1.7 (Pixel Aspect Ratio), 10.7.1.3 (Pixel Spacing).
    """
    dataset = source.dataset
    groups = functional_groups(dataset, "PixelMeasuresSequence", frame_number=1)
    try:
        pairs = [
            *(numbers(group, "PixelSpacing") for group in groups),
            numbers(dataset, "PixelSpacing"),
            numbers(dataset, "ImagerPixelSpacing"),
        ]
    except PixelError:
        pairs = []
    pairs.append(_aspect_ratio(path))
    for pair in pairs:
        if len(pair) == 2 and min(pair) > 0:
            found = pair[0] / pair[1]
            return found if 1 / _WIDEST_ASPECT <= found <= _WIDEST_ASPECT else 1.0
    return 1.0


def _aspect_ratio(path: Path) -> tuple[float, ...]:
    """Read what the pixel package has no use for."""
    try:
        with third_party("PixelAspectRatio cannot be read"):
            dataset = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=["PixelAspectRatio"]
            )
            return numbers(dataset, "PixelAspectRatio")
    except PixelError:
        return ()
