"""Say why an image, a plane or a volume is not one of those that a card selects."""

import re
from fnmatch import fnmatchcase

from dicom_node.core.types import RoutingHeader
from inference.select.spec import SelectionSpec
from inference.volume import Volume
from inference.volume_geometry import name_orientation
from inference.volume_planes import Plane

_FAULT_TEXTS = {
    "gaps": "slices are missing in the volume",
    "duplicates": "several images of the volume share a position",
    "uneven": "the slices of the volume are not evenly spaced",
    "tilt": "the slices of the volume are not stacked along their normal",
}
# Slice Thickness is text of up to 16 characters: 5 mm may come as 4.999999.
_THICKNESS_TOLERANCE_MM = 1e-3


def image_misses(header: RoutingHeader, spec: SelectionSpec) -> str:
    """Say what of an image's header is not as the card wants it, "" if all is.

    The text names attributes and the card's own values, never a value of the image.
    """
    wanted = (
        ("Modality", header.modality, spec.modalities),
        ("Body Part Examined", header.body_part_examined, spec.body_parts),
        ("View Position", header.view_position, spec.view_positions),
    )
    for attribute, value, allowed in wanted:
        if allowed and _code(value) not in {_code(item) for item in allowed}:
            state = "is not" if value.strip() else "is missing, not"
            return f"{attribute} {state} {_either(allowed)}"
    return _description_misses(header.series_description, spec)


def _description_misses(description: str, spec: SelectionSpec) -> str:
    spoken = " ".join(description.upper().split())
    if spec.series_descriptions and not _matches(spoken, spec.series_descriptions):
        return "Series Description is not one that the model takes"
    if _matches(spoken, spec.exclude_series_descriptions):
        return "Series Description is one that the model leaves out"
    return ""


def plane_misses(plane: Plane, spec: SelectionSpec) -> str:
    """Say what of a frame is not as the card wants it, "" if all is."""
    types = {_code(value) for value in plane.frame_type}
    for value in spec.image_types:
        if _code(value) not in types:
            return f"Image Type lacks {_code(value)}"
    for value in spec.exclude_image_types:
        if _code(value) in types:
            return f"Image Type has {_code(value)}"
    if not plane.readable:
        return ""
    if fault := _thickness_misses(plane.thickness_mm, spec):
        return fault
    if spec.contrast is not None and plane.contrast != spec.contrast:
        said = "no attribute says" if spec.contrast else "an attribute says"
        return f"{said} that contrast medium was given"
    return ""


def _thickness_misses(thickness: float | None, spec: SelectionSpec) -> str:
    low, high = spec.min_slice_thickness_mm, spec.max_slice_thickness_mm
    if low is None and high is None:
        return ""
    if thickness is None:
        return "Slice Thickness is missing"
    if low is not None and thickness < low - _THICKNESS_TOLERANCE_MM:
        return f"Slice Thickness is below {low:g} mm"
    if high is not None and thickness > high + _THICKNESS_TOLERANCE_MM:
        return f"Slice Thickness is above {high:g} mm"
    return ""


def orientation_of(volume: Volume, spec: SelectionSpec) -> str:
    """Name a volume's orientation within the card's tolerance, "" when unknown."""
    if volume.normal is None:
        return ""
    tolerance = spec.orientation_tolerance_degrees
    return name_orientation(volume.normal, tolerance_degrees=tolerance)


def volume_misses(volume: Volume, spec: SelectionSpec) -> str:
    """Say what of a volume is not as the card wants it, "" if all is."""
    if spec.orientations:
        orientation = orientation_of(volume, spec)
        if not orientation:
            return "Image Orientation (Patient) is missing"
        if orientation not in spec.orientations:
            return f"the plane is {orientation}, not {_either(spec.orientations)}"
    kinds = {fault.kind for fault in volume.faults}
    for kind in spec.refuse_faults:
        if kind in kinds:
            return _FAULT_TEXTS[kind]
    return ""


def count_misses(images: int, spec: SelectionSpec) -> str:
    """Say whether a series has too few or too many images, "" if neither."""
    low, high = spec.min_number_of_frames, spec.max_number_of_frames
    if low is not None and images < low:
        return f"the series has fewer than {low} such images"
    if high is not None and images > high:
        return f"the series has more than {high} such images"
    return ""


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    # Brackets stand for themselves: descriptions are full of them.
    return any(
        fnmatchcase(text, re.sub(r"\[", "[[]", " ".join(pattern.upper().split())))
        for pattern in patterns
    )


def _code(value: str) -> str:
    return value.strip().upper()


def _either(values: tuple[str, ...]) -> str:
    return " or ".join(filter(None, [", ".join(values[:-1]), values[-1]]))
