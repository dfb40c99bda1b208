"""Judge one file: shown as others show it, or refused with a reason."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import PixelError
from inference.api import Image, InputSpec
from inference.pixels.codecs import LOSSY, NATIVE
from inference.pixels.decode import decode_frame
from inference.pixels.frames import FrameSource, open_image, windowed_frame
from inference.pixels.layout import PALETTE
from inference.pixels.modality import modality_frame
from inference.pixels.read import name_transfer_syntax
from tests.conformance import pixel_references as references

SPEC = InputSpec(size=(32, 32), windowing_fallback="full_range")
LEVEL = 1.01 / 255  # for those who round to 8 bits
Samples = npt.NDArray[Any]


@dataclass(slots=True)
class Verdict:
    """What became of one file.

    Args:
        outcome: "shown: <windowing>" or "refused: <reason>".
        differences: largest one by reference and stage, over the frames compared.
        wrong: references that differ by more than may be.
    """

    syntax: str = ""
    photometric: str = ""
    outcome: str = ""
    differences: dict[str, float] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)

    def note(self, reference: str, difference: float, tolerance: float) -> None:
        """Keep the largest difference to a reference."""
        self.differences[reference] = max(
            difference, self.differences.get(reference, 0.0)
        )
        if difference > tolerance:
            self.wrong.add(reference)


def judge(path: Path) -> Verdict:
    """Decode the first, the middle and the last frame and ask everybody else."""
    verdict = Verdict()
    try:
        source = open_image(path)
        verdict.syntax = name_transfer_syntax(source.transfer_syntax_uid)
        verdict.photometric = source.layout.photometric
        count = source.number_of_frames
        with tempfile.TemporaryDirectory() as folder:
            plain = None
            if source.transfer_syntax_uid not in NATIVE:
                plain = references.decompressed_by_dcmtk(path, Path(folder))
            for number in sorted({1, (count + 1) // 2, count}):
                _compare(verdict, _Case(path, plain, Path(folder), source, number))
    except PixelError as error:
        return Verdict(
            syntax=verdict.syntax,
            photometric=verdict.photometric,
            outcome=f"refused: {error}",
        )
    return verdict


@dataclass(frozen=True, slots=True)
class _Case:
    """One frame of one file, and the file as dcmtk decompressed it, if it can."""

    path: Path
    plain: Path | None
    folder: Path
    source: FrameSource
    number: int

    @property
    def is_lossy(self) -> bool:
        return self.source.transfer_syntax_uid in LOSSY


def _compare(verdict: Verdict, case: _Case) -> None:
    frame = windowed_frame(case.source, case.number, SPEC)
    if verdict.outcome in ("", f"shown: {frame.windowing}"):
        verdict.outcome = f"shown: {frame.windowing}"
    if frame.windowing == "colour":
        _compare_colour(verdict, case, frame.planes)
        return
    _compare_stored(verdict, case)
    for name, theirs, ours, tolerance in _shown(case, frame.planes[0], frame.windowing):
        difference = np.abs(ours - theirs)
        padding = _padding(case)
        if padding is not None:  # the others show it as tissue
            difference = difference[~padding]
        verdict.note(name, float(difference.max(initial=0.0)), tolerance)


def _compare_stored(verdict: Verdict, case: _Case) -> None:
    ours = decode_frame(case.source, case.number - 1).values
    answers: list[tuple[str, Samples | None]] = []
    if case.source.transfer_syntax_uid in NATIVE:
        cut = references.stored_by_numpy(case.path, case.number)
        answers.append(("numpy stored", cut))
    else:
        decoded = references.stored_by_pydicom(case.path, case.number)
        answers.append(("pydicom stored", decoded))
    if case.plain is not None:
        cut = references.stored_by_numpy(case.plain, case.number)
        answers.append(("dcmtk stored", cut))
    if twin := _native_twin(case.path):
        cut = references.stored_by_numpy(twin, case.number)
        answers.append(("native copy stored", cut))
    for name, theirs in answers:
        if theirs is None or theirs.shape != ours.shape:
            continue
        wanted = theirs if case.source.layout.is_float else _masked(theirs, case)
        apart = np.abs(ours.astype(float) - wanted.astype(float))
        # Two inverse cosine transforms may round apart.
        verdict.note(name, float(np.nanmax(apart)), 1 if case.is_lossy else 0)


def _native_twin(path: Path) -> Path | None:
    """Find the native copy of a one-bit image, which no other decoder can read."""
    stem, _, kind = path.stem.rpartition("_")
    twin = path.with_name(f"{stem}.dcm")
    return (
        twin if kind == "rle" and stem.startswith("liver") and twin.exists() else None
    )


def _masked(values: Samples, case: _Case) -> Samples:
    """Cut to Bits Stored and give the sign, in 64-bit arithmetic (PS3.5 8.1.1)."""
    layout = case.source.layout
    bits = layout.bits_stored
    wide = values.astype(np.int64) & ((1 << layout.bits_allocated) - 1)
    wide = (wide >> (layout.high_bit + 1 - bits)) & ((1 << bits) - 1)
    if layout.is_signed:
        wide = np.where(wide >> (bits - 1), wide - (1 << bits), wide)
    return wide


def _shown(
    case: _Case, ours: Image, windowing: str
) -> Iterator[tuple[str, Samples, Samples, float]]:
    """Yield name, their image, ours in the same unit, and the tolerance."""
    theirs = _first(case, lambda path: references.shown_by_highdicom(path, case.number))
    if theirs is not None:
        unit, tolerance = ours, 1e-4  # it folds rescale and window in float32
        if "no window" in windowing:
            unit, tolerance = _unwindowed(case)
        yield "highdicom shown", theirs, unit, tolerance
    if "PerFrameFunctionalGroupsSequence" in case.source.dataset:
        return  # dcmtk looks for windows at the top level only
    theirs = _shown_by_dcmtk(case, *_dcmtk_options(windowing))
    if theirs is not None:
        yield "dcmtk shown", theirs, ours, LEVEL


def _first(case: _Case, ask: Callable[[Path], Samples | None]) -> Samples | None:
    """Ask about the file as it is, then as dcmtk decompressed it."""
    answer = ask(case.path)
    return ask(case.plain) if answer is None and case.plain else answer


def _shown_by_dcmtk(case: _Case, *options: str) -> Samples | None:
    return _first(
        case,
        lambda path: references.shown_by_dcmtk(
            path, case.folder, case.number, *options
        ),
    )


def _dcmtk_options(windowing: str) -> list[str]:
    if "no window" in windowing:
        return []
    return ["+Wl" if "LUT" in windowing else "+Wi", "1"]


def _unwindowed(case: _Case) -> tuple[Samples, float]:
    """Return modality values, which highdicom gives where there is no window."""
    layout = case.source.layout
    stored = decode_frame(case.source, case.number - 1).values
    frame = modality_frame(
        stored, case.source.dataset, layout, frame_number=case.number
    )
    shown = frame.values
    if layout.photometric == "MONOCHROME1":
        shown = np.float32(frame.lowest + frame.highest) - shown
    return shown, 1e-6 * max(1.0, float(np.abs(shown).max()))


def _padding(case: _Case) -> npt.NDArray[np.bool_] | None:
    stored = decode_frame(case.source, case.number - 1).values
    return modality_frame(
        stored, case.source.dataset, case.source.layout, frame_number=case.number
    ).padding


def _compare_colour(verdict: Verdict, case: _Case, planes: Image) -> None:
    ours = np.moveaxis(planes, 0, -1)
    photometric = case.source.layout.photometric
    is_exact = photometric in ("RGB", PALETTE) and not case.is_lossy
    # Others convert YBR in integers of 8 bits.
    rounding = 2 * LEVEL if photometric.startswith("YBR") else LEVEL
    by_pydicom = references.colour_by_pydicom(case.path, case.number)
    asked = (
        ("pydicom shown", by_pydicom, 1e-5 if is_exact else rounding),
        ("dcmtk shown", _shown_by_dcmtk(case), rounding),
    )
    for name, theirs, tolerance in asked:
        if theirs is not None and theirs.shape == ours.shape:
            verdict.note(name, float(np.abs(ours - theirs).max()), tolerance)
