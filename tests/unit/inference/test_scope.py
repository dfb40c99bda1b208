"""What a model may look at, and what is said of the rest."""

from typing import Any

import pytest

from inference.api import Scope
from inference.scope import outside_scope
from tests.unit.inference.studies import make_file

CHILD_CHEST = Scope(
    modalities=("CR", "DX"),
    body_parts=("CHEST",),
    view_positions=("PA", "AP"),
    min_age_years=1,
    max_age_years=5,
)


def test_an_image_within_every_limit_is_inside() -> None:
    assert outside_scope(make_file(), CHILD_CHEST) == ""
    assert outside_scope(make_file(body_part_examined="chest "), CHILD_CHEST) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modality": "MG"}, "Modality is MG; the model covers CR and DX"),
        ({"modality": ""}, "Modality is missing; the model covers CR and DX"),
        (
            {"body_part_examined": "KNEE"},
            "Body Part Examined is KNEE; the model covers CHEST",
        ),
        (
            {"view_position": ""},
            "View Position is missing; the model covers PA and AP",
        ),
        (
            {"patient_age_years": None},
            "Patient's Age is missing or unreadable; the model covers 1 to 5 years",
        ),
        (
            {"patient_age_years": 54.0},
            "Patient's Age is 54 years; the model covers 1 to 5 years",
        ),
        (
            {"patient_age_years": 97.0},
            "Patient's Age is over 89 years; the model covers 1 to 5 years",
        ),
        (
            {"patient_age_years": 0.5},
            "Patient's Age is below 1 year; the model covers 1 to 5 years",
        ),
        (
            {"patient_age_years": float("nan")},
            "Patient's Age is missing or unreadable; the model covers 1 to 5 years",
        ),
        (
            {"body_part_examined": "", "patient_age_years": None},
            "Body Part Examined is missing; the model covers CHEST. "
            "Patient's Age is missing or unreadable; the model covers 1 to 5 years",
        ),
    ],
)
def test_the_miss_is_named_with_what_the_model_covers(
    changes: dict[str, Any], reason: str
) -> None:
    assert outside_scope(make_file(**changes), CHILD_CHEST) == reason


@pytest.mark.parametrize(
    ("years", "inside"),
    [
        (1.0, True),
        (365 / 365.25, True),  # the first birthday, counted from dates
        (364 / 365.25, False),
        (5.99, True),
        (2190 / 365.25, True),  # the day before the sixth birthday, one leap day
        (2191 / 365.25, False),
        (6.0, False),
    ],
)
def test_age_counts_in_completed_years(years: float, inside: bool) -> None:
    file = make_file(patient_age_years=years)
    assert (outside_scope(file, CHILD_CHEST) == "") is inside


def test_text_that_is_no_code_string_is_not_repeated() -> None:
    file = make_file(body_part_examined="Mustermann^Max")
    assert outside_scope(file, CHILD_CHEST) == (
        "Body Part Examined is unusual; the model covers CHEST"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"has_pixels": False}, "no pixel data"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "a localizer"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "localizer ", "PS")}, "a localizer"),
        ({"image_type": ("DERIVED", "SECONDARY", "SCREEN SAVE")}, "a screen save"),
        ({"image_type": ("DERIVED", "PRIMARY", "SCREEN_SAVE")}, "a screen save"),
        ({"image_type": ("DERIVED", "SECONDARY", "MPR")}, "SECONDARY"),
        ({"presentation_intent_type": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "FOR PROCESSING"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "Secondary Capture"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7.4"}, "Secondary Capture"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4"}, "computed from images"),
        ({"quality_control_image": "YES"}, "a phantom"),
        ({"samples_per_pixel": 3}, "Samples per Pixel is of colour"),
        ({"patient_species": "Canis familiaris"}, "of an animal"),
    ],
)
def test_some_objects_are_outside_of_every_model(
    changes: dict[str, Any], said: str
) -> None:
    assert said in outside_scope(make_file(**changes), Scope())


@pytest.mark.parametrize(
    "image_type", [(), ("ORIGINAL", "PRIMARY"), ("DERIVED", "PRIMARY"), ("", "")]
)
def test_derived_primary_images_are_inside(image_type: tuple[str, ...]) -> None:
    assert outside_scope(make_file(image_type=image_type), Scope()) == ""


def test_a_class_beside_secondary_capture_is_not_taken_for_it() -> None:
    file = make_file(sop_class_uid="1.2.840.10008.5.1.4.1.1.77.1.6")
    assert outside_scope(file, Scope()) == ""


def test_a_card_can_ask_for_what_is_left_out_by_default() -> None:
    reformat = make_file(image_type=("DERIVED", "SECONDARY", "MPR"))
    assert outside_scope(reformat, Scope(include_secondary=True)) == ""
    raw = make_file(presentation_intent_type="FOR PROCESSING")
    assert outside_scope(raw, Scope(exclude_for_processing=False)) == ""
    capture = "1.2.840.10008.5.1.4.1.1.7"
    file = make_file(sop_class_uid=capture)
    assert outside_scope(file, Scope(sop_class_uids=(capture,))) == ""
    dog = make_file(patient_species="Canis familiaris")
    assert outside_scope(dog, Scope(include_animals=True)) == ""


def test_people_photographs_of_them_and_calibrated_images_are_inside() -> None:
    assert outside_scope(make_file(patient_species="Homo sapiens"), Scope()) == ""
    assert outside_scope(make_file(quality_control_image="BOTH"), Scope()) == ""
    endoscope = "1.2.840.10008.5.1.4.1.1.77.1.1"
    photo = make_file(samples_per_pixel=3, sop_class_uid=endoscope)
    assert outside_scope(photo, Scope()) == ""


def test_a_sop_class_beside_the_covered_ones_is_outside() -> None:
    scope = Scope(sop_class_uids=("1.2.840.10008.5.1.4.1.1.2",))
    assert "SOP Class UID is not one" in outside_scope(make_file(), scope)
