"""How a picture is turned so that it hangs as people read it, and its letters."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from dicom_node.report.reading import text_of
from inference.pixels.attributes import functional_groups, items, numbers

Vector = npt.NDArray[np.float64]

# Axes of the patient, PS3.3 C.7.6.2.1.1: x to the left, y to the back, z to the head.
_LETTERS: Final = {
    "L": (1.0, 0.0, 0.0),
    "R": (-1.0, 0.0, 0.0),
    "P": (0.0, 1.0, 0.0),
    "A": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0),
    "F": (0.0, 0.0, -1.0),
}
_WEIGHTS: Final = (1.0, 0.5, 0.25)  # of the letters of an oblique direction
_NAMED_FROM: Final = 0.3  # a share of a direction below this is not worth a letter
_OFF: Final = 1e-2  # what rounding in a file may do to a unit vector
# They hang with fingers or toes up.
_UPSIDE_DOWN: Final = ("HAND", "FINGER", "THUMB", "WRIST", "FOOT", "TOE")
_MAMMOGRAPHY: Final = "MG"
_MOST_STRETCHED: Final = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Where the rows (to the right) and columns (down) of a picture point to.

    Args:
        projected: of a projection, whose plane is that of the detector.
    """

    right: Vector
    down: Vector
    projected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is done to a picture: transposed first, then mirrored."""

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    @property
    def is_mirrored(self) -> bool:
        """Whether writing in the picture would come out mirrored."""
        return (self.transpose + self.mirror + self.flip) % 2 == 1

    def turned(self, axes: Axes) -> Axes:
        """Return where the axes point to afterwards."""
        right, down = axes.right, axes.down
        if self.transpose:
            right, down = down, right
        return Axes(
            -right if self.mirror else right,
            -down if self.flip else down,
            axes.projected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The letters at the edges of a picture."""

    left: str
    right: str
    top: str
    bottom: str


def read_axes(header: Dataset, *, frame_number: int) -> Axes | None:
    """Return where rows and columns point to, None where the file does not say.

    Source: PS3.3 C.7.6.2.1.1 (Image Orientation), C.7.6.1.1.1 (Patient Orientation),
    C.7.6.16.2.4 (Plane Orientation).
    """
    try:
        places = (
            *functional_groups(
                header, "PlaneOrientationSequence", frame_number=frame_number
            ),
            header,
        )
        for place in places:
            cosines = numbers(place, "ImageOrientationPatient")
            if len(cosines) == 6:
                return _unit_axes(np.array(cosines[:3]), np.array(cosines[3:]))
    except PixelError:
        return None
    return _lettered_axes(header)


def choose_turn(header: Dataset, axes: Axes) -> Turn:
    """Choose how the picture is turned: slices seen from the feet, heads up.

    Axial slices show the patient's right on the left and the front on top, coronal
    ones the right on the left, sagittal ones the front on the left. Of projections,
    frontal ones hang like coronal slices, lateral ones keep their side, hands and
    feet stay as they are, and breasts hang back to back.
    """
    wanted = _wanted(header, axes)
    if wanted is None:
        return Turn()
    right, down, may_mirror = wanted

    def fit(turn: Turn) -> float:
        turned = turn.turned(axes)
        return float(turned.right @ right + turned.down @ down)

    turns = [turn for turn in _turns() if may_mirror or not turn.is_mirrored]
    best = max(turns, key=fit)
    # As it is, unless another way is clearly better.
    return best if fit(best) > fit(Turn()) + _OFF else Turn()


def name_edges(axes: Axes) -> Edges:
    """Name the directions at the edges, e.g. R on the left of an axial slice."""
    return Edges(
        left=_name(-axes.right),
        right=_name(axes.right),
        top=_name(-axes.down),
        bottom=_name(axes.down),
    )


def read_aspect(header: Dataset, *, frame_number: int) -> float:
    """Return how tall a pixel is for its width; 1 where the file does not say.

    Source: PS3.3 10.7.1.3 (spacing of rows first), C.7.6.3.1.7 (Pixel Aspect Ratio).
    """
    try:
        groups = functional_groups(
            header, "PixelMeasuresSequence", frame_number=frame_number
        )
        for place in (*groups, header):
            for keyword in (
                "PixelSpacing",
                "ImagerPixelSpacing",
                "NominalScannedPixelSpacing",
                "PixelAspectRatio",
            ):
                pair = numbers(place, keyword)
                if len(pair) == 2 and min(pair) > 0:
                    ratio = pair[0] / pair[1]
                    return min(max(ratio, 1 / _MOST_STRETCHED), _MOST_STRETCHED)
    except PixelError:
        return 1.0
    return 1.0


def read_laterality(header: Dataset) -> str:
    """Return the side that the file names: "R", "L", "B", or "" for none."""
    for keyword in ("ImageLaterality", "Laterality"):
        side = text_of(header, keyword).upper()
        if side in ("R", "L", "B"):
            return side
    return ""


def _turns() -> Iterator[Turn]:
    for transpose, mirror, flip in product((False, True), repeat=3):
        yield Turn(transpose=transpose, mirror=mirror, flip=flip)


def _wanted(header: Dataset, axes: Axes) -> tuple[Vector, Vector, bool] | None:
    """Return the best right and down, and whether mirroring is allowed for them."""
    if axes.projected and text_of(header, "Modality").upper() == _MAMMOGRAPHY:
        return _wanted_of_breast(header, axes)
    normal = np.abs(np.cross(axes.right, axes.down))
    plane = int(np.argmax(normal))
    if axes.projected:
        if plane == 2 or _hangs_upside_down(header):
            return None
        if plane == 0:
            return np.zeros(3), _vector("F"), False
    if plane == 2:
        return _vector("L"), _vector("P"), True
    return _vector("P" if plane == 0 else "L"), _vector("F"), True


def _wanted_of_breast(
    header: Dataset, axes: Axes
) -> tuple[Vector, Vector, bool] | None:
    """Hang breasts back to back, lateral or head on top (PS3.3 C.8.11.7)."""
    side = read_laterality(header)
    if side not in ("R", "L"):
        return None
    back = "P" if side == "R" else "A"
    upright = max(abs(axes.right[2]), abs(axes.down[2])) > _NAMED_FROM
    medial = "L" if side == "R" else "R"
    return _vector(back), _vector("F" if upright else medial), True


def _hangs_upside_down(header: Dataset) -> bool:
    names = [text_of(header, "BodyPartExamined")]
    try:
        regions = items(header, "AnatomicRegionSequence")
    except PixelError:
        regions = ()
    names += [text_of(region, "CodeMeaning") for region in regions]
    return any(part in name.upper() for name in names for part in _UPSIDE_DOWN)


def _unit_axes(right: Vector, down: Vector) -> Axes | None:
    lengths = np.linalg.norm(right), np.linalg.norm(down)
    if any(abs(length - 1) > _OFF for length in lengths) or abs(right @ down) > _OFF:
        return None
    return Axes(right, down)


def _lettered_axes(header: Dataset) -> Axes | None:
    if text_of(header, "AnatomicalOrientationType").upper() == "QUADRUPED":
        return None
    try:
        value = header.get("PatientOrientation") or ()
    except (ValueError, TypeError, AttributeError):
        return None
    words = [value] if isinstance(value, str) else [str(one) for one in value]
    if len(words) != 2:
        return None
    vectors = [_vector(word.strip().upper()) for word in words]
    lengths = [np.linalg.norm(one) for one in vectors]
    if min(lengths) == 0:
        return None
    right, down = (one / length for one, length in zip(vectors, lengths, strict=True))
    if np.linalg.norm(np.cross(right, down)) < 0.5:  # they name one direction twice
        return None
    return Axes(right, down, projected=True)


def _vector(word: str) -> Vector:
    """Return the direction of letters such as "L" or "FR"; zeros for others."""
    if not word or len(word) > len(_WEIGHTS) or not set(word) <= _LETTERS.keys():
        return np.zeros(3)
    vector = np.zeros(3)
    for weight, letter in zip(_WEIGHTS, word, strict=False):
        vector += weight * np.array(_LETTERS[letter])
    return vector


def _name(direction: Vector) -> str:
    shares = sorted(
        ((float(direction @ np.array(axis)), name) for name, axis in _LETTERS.items()),
        reverse=True,
    )
    return "".join(name for share, name in shares[:2] if share >= _NAMED_FROM)
