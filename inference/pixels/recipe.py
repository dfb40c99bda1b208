"""How stored values become a picture, said in numbers that any device can follow.

Rescale, window and the inversion of MONOCHROME1 are one function of the stored value.
Where it is straight, two stored values say it all: the one that is shown black and
the one that is shown white. Where it is not, a table has an entry for every value
that the pixels' type can hold.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from inference.api import Image

# Beyond this ratio of place to length, float32 loses a millionth of the window.
_FAR_FROM_ZERO = 4.0
_STEEPEST = 8.0  # beyond, rounding of the centre shows: a table has it exactly
_HIGHEST_PIVOT = 1 << 23  # whole numbers up to twice this keep their differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A straight line, clipped: stored value `black` to 0, `white` to 1.

    Black lies above white where the picture is inverted or the slope is negative.
    """

    black: float
    white: float

    @property
    def pivot(self) -> int:
        """What to subtract first, so that float32 keeps a window far from zero."""
        return 0 if self._fits(0) else round((self.black + self.white) / 2)

    @property
    def is_exact(self) -> bool:
        """Whether float32 follows it to a millionth, for values of up to 16 bits."""
        length = abs(self.white - self.black)
        return (
            math.isfinite(length)
            and 0 < length < _HIGHEST_PIVOT
            and abs(self.pivot) <= _HIGHEST_PIVOT
            and self._fits(self.pivot)
        )

    def inverted(self) -> "Ramp":
        """Return the ramp of the negative."""
        return Ramp(black=self.white, white=self.black)

    def shows_black(self, stored: float) -> bool:
        """Whether a stored value lies on the black side of the window."""
        if self.black < self.white:
            return stored <= self.black
        return stored >= self.black

    def _fits(self, pivot: int) -> bool:
        furthest = max(abs(self.black - pivot), abs(self.white - pivot))
        return furthest <= _FAR_FROM_ZERO * abs(self.white - self.black)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid:
    """The logistic function: 1 / (1 + exp(-steepness * (stored - centre)))."""

    centre: float
    steepness: float

    @property
    def pivot(self) -> int:
        """What to subtract first, so that float32 keeps a window far from zero."""
        return round(self.centre)

    @property
    def is_exact(self) -> bool:
        """Whether float32 follows it to a millionth, for values of up to 16 bits."""
        return (
            abs(self.centre) <= _HIGHEST_PIVOT
            and abs(self.steepness) <= _STEEPEST
            and self.steepness != 0
        )

    def inverted(self) -> "Sigmoid":
        """Return the function of the negative."""
        return Sigmoid(centre=self.centre, steepness=-self.steepness)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What is shown for every pattern of bits: `entries[value as unsigned]`.

    Args:
        entries: (256,) or (65536,), float32 in [0, 1], padding included.
    """

    entries: Image

    def inverted(self) -> "Table":
        """Return the table of the negative."""
        return Table(entries=np.float32(1) - self.entries)


Curve: TypeAlias = Ramp | Sigmoid | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be done with the stored values of one frame.

    Args:
        curves: one for each plane, or one for all three samples of a colour frame;
            () where `stored` holds planes in [0, 1] already.
        padding: lowest and highest stored value that is shown black; None for none,
            or where the curves make it black anyway.
    """

    curves: tuple[Curve, ...] = ()
    padding: tuple[int, int] | None = None


READY = Recipe()
