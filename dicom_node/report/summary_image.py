"""The strongest image of a result, as a picture that hangs as people read it."""

import json
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from PIL import Image as Picture
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from dicom_node.core.types import Finding, ImageResult, InputFile, Prediction
from dicom_node.report.evidence import Evidence, strongest_first
from dicom_node.report.reading import hushed, read_header
from dicom_node.report.sop_classes import has_frames
from dicom_node.report.summary_orientation import (
    Edges,
    Turn,
    choose_turn,
    name_edges,
    read_aspect,
    read_axes,
    read_laterality,
)
from inference.api import Image, InputSpec, Window
from inference.guard.guard import Guard
from inference.guard.trials import Candidate
from inference.pixels.frames import FrameSource, PixelLimits, open_image
from inference.pixels.fused import show_frame
from inference.pixels.raw import RawFrame, read_frame

# What an image is shown with where the model's own way is not known or not possible.
_BY_FILE: Final = InputSpec(
    size=(1, 1), windowing="file", windowing_fallback="percentile"
)
_SETTINGS: Final = (
    "windowing",
    "windowing_fallback",
    "window_index",
    "windows",
    "percentiles",
)
_PREFIX: Final = "input."
_MOST_PIXELS: Final = 4096  # of a side, before the picture is brought to its place


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The image that speaks loudest for a result.

    Args:
        frame: from 1.
        is_strongest: whether the scores of the images, or frames, say so.
    """

    result: ImageResult
    file: InputFile
    frame: int
    is_strongest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An image turned as it hangs.

    Args:
        picture: grey or RGB, as many pixels as the image unless that is very large.
        aspect: width by height as it is to be shown.
        edges: None where the file does not say how the patient lies.
        side: the laterality that the file names, "" for none.
    """

    picture: Picture.Image
    aspect: float
    edges: Edges | None
    side: str
    windowing: str


def choose_source(evidence: Evidence, finding: Finding | None) -> Source | None:
    """Choose the image to show: the strongest one of a finding, else the first.

    Returns:
        None where there is no image that can be referenced.
    """
    pairs = strongest_first(evidence, finding) or [
        pair for pair in evidence.images if pair[1].header.has_pixels
    ]
    if not pairs:
        return None
    result, file = pairs[0]
    index = None if finding is None else finding.class_index
    known = index is not None and index < len(result.scores)
    frame, is_peak = _strongest_frame(result, index)
    return Source(
        result=result,
        file=file,
        frame=frame,
        is_strongest=(known or len(pairs) == 1) and is_peak and bool(result.scores),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How an image may be decoded.

    Args:
        limits: what it may claim to be before it is not drawn.
        guard: stands beside the decoder, which may hang or die.
    """

    limits: PixelLimits
    guard: Guard


def show(source: Source, prediction: Prediction, decoding: Decoding) -> Shown:
    """Decode an image and turn it as it hangs, windowed as the model saw it.

    Raises:
        PixelError: it cannot be decoded, or must not be.
        InferenceError: whether it may be decoded cannot be tried now; retryable.
    """
    planes, windowing = _windowed(source, prediction, decoding)
    with hushed():
        header = read_header(source.file.path) or Dataset()
        axes = read_axes(header, frame_number=source.frame)
        turn = choose_turn(header, axes) if axes else Turn()
        ratio = read_aspect(header, frame_number=source.frame)
        side = read_laterality(header)
    rows, columns = planes.shape[1:]
    aspect = columns / (rows * ratio)
    return Shown(
        picture=turn_picture(_as_picture(planes), turn),
        aspect=1 / aspect if turn.transpose else aspect,
        edges=name_edges(turn.turned(axes)) if axes else None,
        side=side,
        windowing=windowing,
    )


def turn_picture(picture: Picture.Image, turn: Turn) -> Picture.Image:
    """Turn a picture."""
    if turn.transpose:
        picture = picture.transpose(Picture.Transpose.TRANSPOSE)
    if turn.mirror:
        picture = picture.transpose(Picture.Transpose.FLIP_LEFT_RIGHT)
    if turn.flip:
        picture = picture.transpose(Picture.Transpose.FLIP_TOP_BOTTOM)
    return picture


def named_frames(source: Source) -> tuple[int, ...]:
    """Return the frame that a reference to the image names, () for all of it."""
    file = source.file
    named = file.header.number_of_frames > 1 and has_frames(file.sop_class_uid)
    return (source.frame,) if named else ()


def _strongest_frame(result: ImageResult, index: int | None) -> tuple[int, bool]:
    if index is not None and index < len(result.peaks):
        return result.peaks[index], True
    if not result.frames:
        return 1, True
    return result.frames[len(result.frames) // 2], len(result.frames) == 1


def _windowed(
    source: Source, prediction: Prediction, decoding: Decoding
) -> tuple[Image, str]:
    path = source.file.path
    candidate = Candidate(path=path, frames=(source.frame,))
    with decoding.guard.study([candidate], _BY_FILE) as refused:
        if reason := refused.get(path):
            raise PixelError(reason)
        with decoding.guard.frame(path):
            opened = open_image(path, limits=decoding.limits)
        frame = _read_frame(opened, source, prediction, decoding.guard)
    planes = show_frame(frame)
    if opened.layout.is_monochrome and len(planes) > 1:
        name = f"model window 1 of {len(planes)}"
        return planes[:1], name
    return planes, frame.windowing


def _read_frame(
    opened: FrameSource, source: Source, prediction: Prediction, guard: Guard
) -> RawFrame:
    path = source.file.path
    try:
        with guard.frame(path):
            return read_frame(opened, source.frame, _as_the_model(prediction))
    except PixelError:
        with guard.frame(path):
            return read_frame(opened, source.frame, _BY_FILE)


def _as_the_model(prediction: Prediction) -> InputSpec:
    """Return the windowing of the model card, the file's own where it is not known."""
    made_with = prediction.provenance
    settings = dict(made_with.settings) if made_with else {}
    try:
        found = {
            name: json.loads(settings[_PREFIX + name])
            for name in _SETTINGS
            if _PREFIX + name in settings
        }
        known = {item.name for item in fields(Window)}
        found["windows"] = tuple(
            Window(**{key: one[key] for key in one.keys() & known})
            for one in found.get("windows", ())
        )
        if "percentiles" in found:
            low, high = found["percentiles"]
            found["percentiles"] = (float(low), float(high))
        return InputSpec(size=(1, 1), **found)
    except (ValueError, TypeError, AttributeError):
        return _BY_FILE


def _as_picture(planes: Image) -> Picture.Image:
    """Make 8 bits of (1 or 3, rows, columns) in [0, 1], averaged if very large.

    Grey stays grey: turning and resizing it takes half of what RGB takes. The
    planes are used up.
    """
    rows, columns = planes.shape[1:]
    thin = max(-(-max(rows, columns) // _MOST_PIXELS), 1)
    if thin > 1:
        planes = _block_means(planes, thin)
    # Unlike `clip`, `fmax` makes 0 of what is no number.
    grey = np.fmax(planes, 0, out=planes if planes.flags.writeable else None)
    np.fmin(grey, 1, out=grey)
    grey *= 255
    values = np.rint(grey, out=grey).astype(np.uint8)
    if len(values) == 1:
        return Picture.fromarray(values[0])
    return Picture.fromarray(np.ascontiguousarray(np.moveaxis(values[:3], 0, -1)))


def _block_means(planes: Image, thin: int) -> Image:
    """Average blocks of pixels; what is left at the edges is a block of its own."""
    for axis in (1, 2):
        count = planes.shape[axis]
        starts = np.arange(0, count, min(thin, count))
        sizes = np.diff([*starts, count]).astype(np.float32)
        summed = np.add.reduceat(planes, starts, axis=axis)
        shape = [1, 1, 1]
        shape[axis] = len(sizes)
        planes = (summed / sizes.reshape(shape)).astype(np.float32)
    return planes
