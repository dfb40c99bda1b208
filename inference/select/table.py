"""The table [selection] of card.toml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inference.card_table import Table

Pattern = Annotated[str, Field(min_length=1, max_length=64)]
Millimetres = Annotated[float, Field(gt=0)]
Orientation = Literal["axial", "sagittal", "coronal", "oblique"]
Fault = Literal["gaps", "duplicates", "uneven", "tilt"]
Codes = Annotated[tuple[Pattern, ...], Field(strict=False)]


class SelectionTable(Table):
    """Which series and frames the model takes; what is left out sets no limit."""

    modalities: Codes = ()
    body_parts: Codes = ()
    view_positions: Codes = ()
    image_types: Codes = ()
    exclude_image_types: Codes = ()
    orientations: Annotated[tuple[Orientation, ...], Field(strict=False)] = ()
    orientation_tolerance_degrees: Annotated[float, Field(ge=0, le=45)] = 30.0
    min_slice_thickness_mm: Millimetres | None = None
    max_slice_thickness_mm: Millimetres | None = None
    min_number_of_frames: Annotated[int, Field(ge=1)] | None = None
    max_number_of_frames: Annotated[int, Field(ge=1)] | None = None
    series_descriptions: Codes = ()
    exclude_series_descriptions: Codes = ()
    contrast: bool | None = None
    refuse_faults: Annotated[tuple[Fault, ...], Field(strict=False)] = ()
    series: Literal["all", "first", "largest"] = "all"
    frames: Literal["spread", "all", "first", "middle", "every_nth", "key"] = "spread"
    nth: Annotated[int, Field(ge=1)] | None = None
    max_images: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        faults = []
        for what in ("slice_thickness_mm", "number_of_frames"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low is not None and high is not None and low > high:
                faults.append(f"min_{what} is above max_{what}")
        if (self.frames == "every_nth") != (self.nth is not None):
            faults.append("frames 'every_nth' and nth go together")
        both = set(_upper(self.image_types)) & set(_upper(self.exclude_image_types))
        if both:
            faults.append("image_types and exclude_image_types name the same value")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _upper(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.strip().upper() for value in values)
