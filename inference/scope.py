"""Whether a model may look at an image: what the card says, and what none may."""

import math
import re
from collections.abc import Iterator

from dicom_node.core.types import InputFile, RoutingHeader
from inference.api import Scope

# Secondary Capture and its multi-frame forms: pictures of unknown origin, often of
# a screen. Source: PS3.4 B.5, PS3.3 A.8.
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Computed from images, not images of a patient: RT Dose, Parametric Map,
# Segmentation, Surface and Label Map Segmentation. Source: PS3.4 B.5.
_DERIVED_OBJECTS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.30",
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.66.5",
        "1.2.840.10008.5.1.4.1.1.66.7",
        "1.2.840.10008.5.1.4.1.1.481.2",
    }
)
# Digital X-Ray, Mammography and Intra-Oral X-Ray, For Processing. Source: PS3.4 B.5.
_FOR_PROCESSING = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.1.3.1",
    }
)
# Images that the standard has in grey: CR, DX, MG, intra-oral, CT, MR, XA, XRF, PET and
# their enhanced forms. In colour they are photographs or pictures of a screen.
# Source: PS3.3 C.8.1.2, C.8.2.1, C.8.3.1, C.8.7.1, C.8.9.4, C.8.11.3, C.8.15, C.8.19.
_GREY = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{end}"
    for end in (
        "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "2", "2.1", "4", "4.1",
        "12.1", "12.1.1", "12.2", "12.2.1", "13.1.3", "128", "130",
    )
)  # fmt: skip
_HUMAN = frozenset({"HOMO SAPIENS", "HOMO SAPIENS SAPIENS", "HUMAN"})
# Image Type values 3 and up of survey images (PS3.3 C.8.2.1.1.1 and vendors).
_SURVEY_TYPES = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})
_SCREEN_TYPES = frozenset({"SCREENSAVE", "SCREENSHOT", "SCREENCAPTURE", "DOSEINFO"})
# Conversion Types of what a screen, a sheet of paper or a drawing showed: workstation,
# scanned document, drawing, synthetic image. Source: PS3.3 C.8.6.1.
_NO_EXAMINATION = frozenset({"WSD", "SD", "DRW", "SYN"})
# Enhanced CT, MR, PET, XA, XRF, ultrasound volumes, X-Ray 3D, breast tomosynthesis,
# and the legacy converted ones: their frames have types of their own. PS3.4 B.5.
_WITH_FRAME_TYPES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{end}"
    for end in (
        "2.1", "2.2", "4.1", "4.3", "4.4", "6.2", "12.1.1", "12.2.1", "13.1.1",
        "13.1.2", "13.1.3", "128.1", "130",
    )
)  # fmt: skip
# An age counted as days / 365.25 is up to 0.75 days short on the birthday.
_AGE_TOLERANCE_YEARS = 0.8 / 365.25
# Ages above it identify a person (45 CFR 164.514 (b)(2)(i)(C)).
_HIGHEST_AGE_SHOWN = 89


def outside_scope(file: InputFile, scope: Scope) -> str:
    """Say why a model must not look at an image, "" if it may.

    The text names attributes and values of closed vocabularies, never a value that
    identifies a patient.
    """
    header = file.header
    never = _never_inferred(file, scope)
    if never:
        return never
    if fault := _outside("Modality", header.modality, scope.modalities):
        return fault  # what follows means little for another modality
    if scope.sop_class_uids and file.sop_class_uid not in scope.sop_class_uids:
        return "SOP Class UID is not one of those that the model covers"
    return ". ".join(fault for fault in _misses(header, scope) if fault)


def _never_inferred(file: InputFile, scope: Scope) -> str:
    """Say why no model looks at such an object."""
    header, sop_class_uid = file.header, str(file.sop_class_uid)
    if not header.has_pixels:
        return "there is no pixel data"
    if sop_class_uid in _DERIVED_OBJECTS:
        return "SOP Class UID is of an object computed from images"
    types = _letters(header.image_type)
    if _SURVEY_TYPES.intersection(types):
        return "Image Type says that it is a localizer"
    if _SCREEN_TYPES.intersection(types):
        return "Image Type says that it is a screen save"
    if sop_class_uid not in scope.sop_class_uids and (
        f"{sop_class_uid}.".startswith(f"{_SECONDARY_CAPTURE}.")
    ):
        return "SOP Class UID is Secondary Capture"
    # BOTH is of a patient beside a calibration standard. Source: PS3.3 C.7.6.1.
    if header.quality_control_image.strip().upper() == "YES":
        return "Quality Control Image says that it is of a phantom"
    if header.samples_per_pixel > 1 and sop_class_uid in _GREY:
        return "Samples per Pixel is of colour, and images of its SOP Class are grey"
    # Required of what is not human. Source: PS3.3 C.7.1.1.
    species = header.patient_species.strip().upper()
    if species and species not in _HUMAN and not scope.include_animals:
        return "Patient Species Description is of an animal"
    # The examination's own images are PRIMARY, DERIVED\PRIMARY included: that is
    # how CR, DX and MG come. SECONDARY are reformats, projections and summaries
    # made later. Source: PS3.3 C.7.6.1.1.2.
    if "SECONDARY" in types[1:2] and not scope.include_secondary:
        return "Image Type says SECONDARY, made after the examination"
    if scope.exclude_for_processing and (
        header.presentation_intent_type.strip().upper() == "FOR PROCESSING"
        or sop_class_uid in _FOR_PROCESSING
    ):
        return "Presentation Intent Type is FOR PROCESSING"
    return ""


def says_more_inside(file: InputFile) -> bool:
    """Tell whether frames or Conversion Type may put outside what the header let in."""
    uid = str(file.sop_class_uid)
    return (
        "MIXED" in file.header.image_type
        or uid in _WITH_FRAME_TYPES
        or f"{uid}.".startswith(f"{_SECONDARY_CAPTURE}.")
    )


def frame_outside_scope(
    frame_type: tuple[str, ...], scope: Scope, *, conversion_type: str = ""
) -> str:
    """Say why a model must not look at a frame, "" if it may.

    An enhanced image of several kinds of frames says MIXED itself. A card that names
    Secondary Capture means scanned or digitized images, not pictures of a screen.

    Source: PS3.3 C.8.16.1, C.8.16.1.3, C.8.6.1.
    """
    if conversion_type.strip().upper() in _NO_EXAMINATION:
        return "Conversion Type says that it is of a screen, a document or a drawing"
    types = _letters(frame_type)
    if _SURVEY_TYPES.intersection(types):
        return "Frame Type says that it is a localizer"
    if _SCREEN_TYPES.intersection(types):
        return "Frame Type says that it is a screen save"
    if "SECONDARY" in types[1:2] and not scope.include_secondary:
        return "Frame Type says SECONDARY, made after the examination"
    return ""


def _letters(values: tuple[str, ...]) -> list[str]:
    return [re.sub(r"[^A-Z]", "", value.upper()) for value in values]


def _misses(header: RoutingHeader, scope: Scope) -> Iterator[str]:
    yield _outside("Body Part Examined", header.body_part_examined, scope.body_parts)
    yield _outside("View Position", header.view_position, scope.view_positions)
    yield _outside_age(header.patient_age_years, scope)


def _outside(attribute: str, value: str, covered: tuple[str, ...]) -> str:
    value = value.strip().upper()
    if not covered or value in {item.strip().upper() for item in covered}:
        return ""
    # Code strings only (PS3.5 6.2): other text may be anything, a name as well.
    shown = f"is {value}" if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else "is unusual"
    model = f"the model covers {_either(covered)}"
    return f"{attribute} {shown if value else 'is missing'}; {model}"


def _outside_age(years: float | None, scope: Scope) -> str:
    low, high = scope.min_age_years, scope.max_age_years
    if low is None and high is None:
        return ""
    covered = f"the model covers {_age_range(low, high)}"
    if years is None or not math.isfinite(years):
        return f"Patient's Age is missing or unreadable; {covered}"
    too_young = low is not None and years < low - _AGE_TOLERANCE_YEARS
    too_old = high is not None and _completed(years) > high
    if too_young or too_old:
        return f"Patient's Age is {_age(years)}; {covered}"
    return ""


def _completed(years: float) -> int:
    """Count completed years, as people tell their age."""
    return math.floor(years + _AGE_TOLERANCE_YEARS)


def _age(years: float) -> str:
    completed = _completed(years)
    if completed > _HIGHEST_AGE_SHOWN:
        return f"over {_HIGHEST_AGE_SHOWN} years"
    if completed < 1:
        return "below 1 year"
    return f"{completed} year{'s' if completed != 1 else ''}"


def _age_range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"{low:g} years and older"
    if low is None:
        return f"up to {high:g} years"
    return f"{low:g} to {high:g} years"


def _either(values: tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(values[:-1]), values[-1]]))
