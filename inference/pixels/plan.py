"""From the header to a recipe: rescale, window and inversion as one function."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import PixelError
from inference.api import InputSpec, Window
from inference.pixels.attributes import text
from inference.pixels.modality import (
    modality_frame,
    modality_lut,
    padding_bounds,
    read_rescale,
)
from inference.pixels.native import Samples
from inference.pixels.read import FrameSource
from inference.pixels.recipe import Curve, Ramp, Recipe, Sigmoid, Table
from inference.pixels.voi import (
    Look,
    apply_look,
    choose_look,
    effective_function,
    stretch,
    window_ends,
)

_COUNTED_AT_ONCE = 1 << 18  # bincount widens to 64 bits: stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """A decoded frame and where it comes from.

    Args:
        padding: lowest and highest stored value that is padding.
    """

    stored: Samples
    source: FrameSource
    frame_number: int
    padding: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The plan of all images of a series; the spec is held, so its id stays its own."""

    spec: InputSpec
    plan: tuple[Recipe, str]


def plan_frame(
    stored: Samples, source: FrameSource, spec: InputSpec, *, frame_number: int
) -> tuple[Recipe, str]:
    """Say how a monochrome frame of 8 or 16 bits is to be shown.

    Args:
        stored: (rows, columns), int8, uint8, int16 or uint16; its values are looked
            at only where percentiles are wanted.

    Returns:
        The recipe, and what it does, for the record.

    Raises:
        PixelError: the frame cannot be windowed as the card demands.
    """
    if source.alike is None or source.number_of_frames > 1:
        return _plan(stored, source, spec, frame_number)[0]
    key = id(spec), stored.dtype.char
    kept = source.alike.kept.get(key)
    if isinstance(kept, _Kept) and kept.spec is spec:
        return kept.plan
    plan, is_kept = _plan(stored, source, spec, frame_number)
    if is_kept:
        source.alike.kept[key] = _Kept(spec=spec, plan=plan)
    return plan


def _plan(
    stored: Samples, source: FrameSource, spec: InputSpec, frame_number: int
) -> tuple[tuple[Recipe, str], bool]:
    """Plan a frame, and say whether the plan follows from the header alone."""
    look = choose_look(source.dataset, spec, frame_number=frame_number)
    subject = _Subject(
        stored=stored,
        source=source,
        frame_number=frame_number,
        padding=_stored_padding(source, stored),
    )
    curves: list[Curve] | None = None
    if look.lut is None and modality_lut(source.dataset) is None:
        curves = _straight(subject, look)
    if curves is None:
        curves = _tabulate(subject, look)
    if is_inverted(source):
        curves = [curve.inverted() for curve in curves]
    return (_finish(curves, subject), look.name), look.percentiles is None


def is_inverted(source: FrameSource) -> bool:
    """Say whether low values are white.

    Presentation LUT Shape INVERSE says the same as MONOCHROME1, not once more;
    where the two contradict each other, the shape has the last word.

    Source: PS3.3 C.11.6.1.2.
    """
    shape = text(source.dataset, "PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return source.layout.photometric == "MONOCHROME1"


def _stored_padding(source: FrameSource, stored: Samples) -> tuple[int, int] | None:
    """Return the padding that values of this type can have, in whole numbers."""
    bounds = padding_bounds(source.dataset, source.layout)
    if bounds is None:
        return None
    kind = np.iinfo(stored.dtype)
    low, high = max(int(bounds[0]), kind.min), min(int(bounds[1]), kind.max)
    return (low, high) if low <= high else None


def _straight(subject: _Subject, look: Look) -> list[Curve] | None:
    """Fold the rescale into windows or ends; None where float32 would not do."""
    slope, intercept = read_rescale(
        subject.source.dataset, frame_number=subject.frame_number
    )
    if look.windows:
        curves = [_fold_window(window, slope, intercept) for window in look.windows]
    else:
        if look.percentiles is None:
            ends = subject.source.layout.stored_range
            low, high = sorted(bound * slope + intercept for bound in ends)
        else:
            values = _patterns(subject.stored) * slope + intercept
            low, high = _percentiles(subject, values, look.percentiles)
        curves = [_fold_ends(low, high - low, slope, intercept)]
    if any(curve is None or not curve.is_exact for curve in curves):
        return None
    return [curve for curve in curves if curve is not None]


def _fold_window(
    window: Window, slope: float, intercept: float
) -> Ramp | Sigmoid | None:
    """Give a window in stored values; None where it is a step.

    Source: PS3.3 C.11.2.1.2.1, C.11.2.1.3.
    """
    if not window.width > 0:
        raise PixelError("WindowWidth is not above 0")
    if effective_function(window) == "SIGMOID":
        return Sigmoid(
            centre=(window.center - intercept) / slope,
            steepness=4 / window.width * slope,
        )
    return _fold_ends(*window_ends(window), slope, intercept)


def _fold_ends(
    low: float, length: float, slope: float, intercept: float
) -> Ramp | None:
    if not length > 0:
        return None
    return Ramp(
        black=(low - intercept) / slope, white=(low + length - intercept) / slope
    )


def _tabulate(subject: _Subject, look: Look) -> list[Curve]:
    """Take every value that the type can hold the whole way, and keep the answers."""
    frame = modality_frame(
        _patterns(subject.stored)[np.newaxis],
        subject.source.dataset,
        subject.source.layout,
        frame_number=subject.frame_number,
    )
    if look.percentiles is not None:
        ends = _percentiles(subject, frame.values[0], look.percentiles)
        return [Table(entries=stretch(frame.values[0], *ends))]
    planes = apply_look(replace(frame, padding=None), look)
    return [Table(entries=plane[0]) for plane in planes]


def _finish(curves: list[Curve], subject: _Subject) -> Recipe:
    """Make padding black, where the curves do not do so by themselves."""
    if subject.padding is None:
        return Recipe(curves=tuple(curves))
    low, high = subject.padding
    if all(isinstance(curve, Table) for curve in curves):
        values = _patterns(subject.stored)
        is_padding = (values >= low) & (values <= high)
        for curve in curves:
            if isinstance(curve, Table):
                curve.entries[is_padding] = 0
        return Recipe(curves=tuple(curves))
    is_black = all(
        isinstance(curve, Ramp) and curve.shows_black(low) and curve.shows_black(high)
        for curve in curves
    )
    return Recipe(curves=tuple(curves), padding=None if is_black else (low, high))


def _patterns(stored: Samples) -> Samples:
    """Return every value of the frame's type, in the order of its bits."""
    size = stored.dtype.itemsize
    bits = np.arange(1 << 8 * size, dtype=f"u{size}")
    values: Samples = bits.view(stored.dtype)
    return values


def _percentiles(
    subject: _Subject, values: Samples, percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Find percentiles by counting, with numpy's linear interpolation between ranks.

    Args:
        values: what each pattern of bits stands for.
    """
    counts = _count(subject.stored)
    if subject.padding is not None:
        stored = _patterns(subject.stored)
        low, high = subject.padding
        counts[(stored >= low) & (stored <= high)] = 0
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(counts[order])
    total = int(ranks[-1])
    if not total:
        raise PixelError("the frame is padding all over")
    found = []
    for percentile in percentiles:
        place = (total - 1) * percentile / 100
        below = min(int(place), total - 1)
        pair = np.searchsorted(ranks, [below, min(below + 1, total - 1)], side="right")
        first, second = (float(value) for value in values[order[pair]])
        found.append(first + (second - first) * (place - below))
    return found[0], found[1]


def _count(stored: Samples) -> npt.NDArray[np.int64]:
    size = stored.dtype.itemsize
    flat = stored.view(f"u{size}").ravel()
    counts = np.zeros(1 << 8 * size, np.int64)
    for start in range(0, len(flat), _COUNTED_AT_ONCE):
        part = flat[start : start + _COUNTED_AT_ONCE]
        counts += np.bincount(part, minlength=len(counts))
    return counts
