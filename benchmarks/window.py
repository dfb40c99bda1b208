"""Windowing of a large image beside pydicom, checked against the formulas."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from benchmarks.alone import Task
from benchmarks.contest import OURS, Contest, Wish, compete
from benchmarks.corpus import DX
from benchmarks.pictures import save_pictures
from benchmarks.results import Verdict
from inference.api import Image, InputSpec, Window
from inference.pixels.decode import StoredFrame
from inference.pixels.fused import show_frame
from inference.pixels.raw import cook_frame
from inference.pixels.read import FrameSource, open_image

Float = npt.NDArray[np.float64]
PYDICOM: Final = "pydicom apply_modality_lut + apply_voi_lut"
_TOLERANCE: Final = 1e-6  # times max(1, |center| / width)
_FUNCTIONS: Final = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_WINDOWS: Final = ((2048.0, 4096.0), (1000.5, 300.0), (3000.0, 2.0), (40.0, 1500.25))


def measure(task: Task) -> list[Contest]:
    """Compare on DX 2500x2048 with a LINEAR window, from stored values to [0, 1]."""
    (path,) = save_pictures(DX, Path(task.folder), number=1)
    dataset = dcmread(path)
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    stored = dataset.pixel_array
    source = open_image(path)

    def ours() -> int:
        _window(stored, source, Window(center=2048, width=4096))
        return 1

    def pydicom() -> int:
        apply_voi_lut(apply_modality_lut(stored, dataset), dataset, index=0)
        return 1

    contest = Contest(
        title=f"{DX.title}, windowing, {len(task.cores)} core",
        wishes=[Wish(of=OURS, against=PYDICOM, at_least=10)],
        figures=[_accuracy(stored, source)],
        remarks=[
            "From decoded stored values to [0, 1]. Accuracy is the largest error of "
            f"{len(_WINDOWS)} windows x {len(_FUNCTIONS)} functions against float64, "
            "in units of what is allowed, 1e-6 x max(1, |center| / width)."
        ],
    )
    return [compete(contest, {OURS: ours, PYDICOM: pydicom}, task.plan)]


def formula(values: Float, window: Window) -> Float:
    """Window by the standard's formula, to [0, 1], in float64.

    Source: PS3.3 C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2.
    """
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        curve: Float = 1 / (1 + np.exp(-4 * (values - center) / width))
        return curve
    if window.function == "LINEAR_EXACT":
        ramp = (values - center) / width + 0.5
    else:
        ramp = (values - (center - 0.5)) / (width - 1) + 0.5
    clipped: Float = np.clip(ramp, 0.0, 1.0)
    return clipped


def _accuracy(stored: npt.NDArray[np.uint16], source: FrameSource) -> Verdict:
    worst = 0.0
    crop = stored[::7, ::7]
    for center, width in _WINDOWS:
        for function in _FUNCTIONS:
            window = Window(center=center, width=width, function=function)
            wanted = formula(crop.astype(np.float64), window)
            error = np.abs(_window(crop, source, window) - wanted).max()
            worst = max(worst, float(error) / max(1.0, abs(center) / width))
    return Verdict(
        what="windowing: largest error, of what is allowed",
        wanted=1.0,
        measured=worst / _TOLERANCE,
        unit="x",
        at_most=True,
    )


def _window(
    stored: npt.NDArray[np.uint16], source: FrameSource, window: Window
) -> Image:
    spec = InputSpec(size=(224, 224), windowing="model", windows=(window,))
    frame = cook_frame(StoredFrame(values=stored), source, spec, frame_number=1)
    return show_frame(frame)
