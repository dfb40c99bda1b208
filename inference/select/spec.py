"""What a card says about the series and the frames that its model takes."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSpec:
    """Which images of a study go to the model, of those within its scope.

    An empty tuple and None set no limit; where a limit is set, a missing attribute
    does not meet it.

    Args:
        image_types: values that must all be among those of Image Type.
        exclude_image_types: values of which none may be there.
        orientations: "axial", "sagittal", "coronal" or "oblique"; a plane counts
            as one of the first three up to `orientation_tolerance_degrees` off it.
        min_number_of_frames, max_number_of_frames: images of a series that are
            left by the conditions above, frames of multi-frame images counted.
        series_descriptions, exclude_series_descriptions: patterns with * and ?,
            case ignored.
        contrast: True only images of which an attribute says that contrast medium
            was given, False only those of which none does.
        refuse_faults: "gaps", "duplicates", "uneven" or "tilt"; a volume with such
            a fault is left out.
        series: "all", "first" (lowest Series Number) or "largest" (most images) of
            those that fit; ties go to the lower Series Instance UID.
        frames: "spread" (the card's max_frames per image), "all", "first" or
            "middle" of each volume, "every_nth" of each volume, or "key" (named by
            a Key Object Selection of the study).
        nth: of "every_nth".
        max_images: frames per study, evenly spread over those chosen.
    """

    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    view_positions: tuple[str, ...] = ()
    image_types: tuple[str, ...] = ()
    exclude_image_types: tuple[str, ...] = ()
    orientations: tuple[str, ...] = ()
    orientation_tolerance_degrees: float = 30.0
    min_slice_thickness_mm: float | None = None
    max_slice_thickness_mm: float | None = None
    min_number_of_frames: int | None = None
    max_number_of_frames: int | None = None
    series_descriptions: tuple[str, ...] = ()
    exclude_series_descriptions: tuple[str, ...] = ()
    contrast: bool | None = None
    refuse_faults: tuple[str, ...] = ()
    series: str = "all"
    frames: str = "spread"
    nth: int | None = None
    max_images: int | None = None


SELECTION_KEYS = tuple(item.name for item in fields(SelectionSpec))
