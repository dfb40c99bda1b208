"""A volume: the frames of one stack in order along the normal of their planes."""

from dataclasses import dataclass
from typing import ClassVar

from dicom_node.core.types import InputFile

Vector = tuple[float, float, float]

_GAPS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFrame:
    """One frame of a volume.

    Args:
        frame_number: from 1.
        position_mm: along the normal, in the Frame of Reference; None without
            Image Position (Patient).
    """

    file: InputFile
    frame_number: int
    position_mm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Slices that are missing between two that are there."""

    kind: ClassVar[str] = "gaps"
    after_mm: float
    before_mm: float
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Several frames at one position of a stack."""

    kind: ClassVar[str] = "duplicates"
    position_mm: float
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uneven:
    """Distances between neighbours that are no multiple of the spacing."""

    kind: ClassVar[str] = "uneven"
    smallest_mm: float
    largest_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tilt:
    """Slices that are not stacked along their normal, or a tilted gantry.

    Args:
        degrees: between the normal and the line through the slices' origins.
        stated_degrees: Gantry/Detector Tilt, None when absent.
    """

    kind: ClassVar[str] = "tilt"
    degrees: float
    stated_degrees: float | None


Fault = Gap | Duplicates | Uneven | Tilt


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The frames of one stack, in order.

    Args:
        frames: along the normal, that is from the feet, the right or the front on
            as far as the normal points there; without positions by Instance Number.
        orientation: "axial", "sagittal", "coronal" or "oblique"; "" when unknown.
        normal: cross product of row and column direction; None when unknown.
        spacing_mm: distance of neighbours as measured, None below two positions.
        thickness_mm: Slice Thickness of the first frame.
        notes: what is worth knowing and no fault.
    """

    frames: tuple[VolumeFrame, ...]
    orientation: str = ""
    normal: Vector | None = None
    spacing_mm: float | None = None
    thickness_mm: float | None = None
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def distinct(self) -> tuple[VolumeFrame, ...]:
        """The first frame at each position."""
        doubled = [item for item in self.faults if isinstance(item, Duplicates)]
        if not doubled:
            return self.frames
        # Duplicates share the position that their fault names, and stand together.
        last: float | None = None
        kept = []
        for frame in self.frames:
            if last is None or frame.position_mm != last:
                kept.append(frame)
            last = frame.position_mm
        return tuple(kept)


def describe_faults(volume: Volume) -> str:
    """Say in one line what is wrong with a volume, "" if nothing is."""
    gaps = [item for item in volume.faults if isinstance(item, Gap)]
    doubled = [item for item in volume.faults if isinstance(item, Duplicates)]
    parts = []
    if gaps:
        places = ", ".join(
            f"{gap.missing} between {gap.after_mm:.2f} and {gap.before_mm:.2f} mm"
            for gap in gaps[:_GAPS_SHOWN]
        )
        more = ", and others" if len(gaps) > _GAPS_SHOWN else ""
        missing = sum(gap.missing for gap in gaps)
        parts.append(f"{_count(missing, 'slice')} missing ({places}{more})")
    if doubled:
        frames = sum(item.frames for item in doubled)
        where = f"at {doubled[0].position_mm:.2f} mm" if len(doubled) == 1 else ""
        where = where or f"at {len(doubled)} positions"
        parts.append(f"{frames} images share a position with others ({where})")
    for item in volume.faults:
        if isinstance(item, Uneven):
            parts.append(
                f"distances of neighbours from {item.smallest_mm:.2f} to "
                f"{item.largest_mm:.2f} mm"
            )
        elif isinstance(item, Tilt):
            parts.append(_describe_tilt(item))
    return "; ".join(parts)


def _describe_tilt(tilt: Tilt) -> str:
    stated = (
        f", Gantry/Detector Tilt says {tilt.stated_degrees:.1f}"
        if tilt.stated_degrees is not None
        else ""
    )
    return f"slices stacked {tilt.degrees:.1f} degrees off their normal{stated}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
