"""Two predictions beside each other: every bit counts, every change is named."""

import math
from dataclasses import replace

import pytest

from dicom_node.commands.reproduction import (
    BIT_EQUAL,
    DIFFERENT,
    WITHIN_TOLERANCE,
    compare,
)
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.provenance import InputDigest, Machinery, Provenance
from dicom_node.core.types import ImageResult, Prediction
from tests.integration.db import samples

MADE_WITH = Provenance(
    weights_sha256="0a" * 32,
    card_sha256="0b" * 32,
    code_version="0.2.0",
    code_sha256="0c" * 32,
    preprocessing_sha256="0d" * 32,
    settings=(("input.size", "[224,224]"), ("max_frames", "8")),
    inputs=(
        InputDigest(sop_instance_uid=SOPInstanceUID("1.1"), dataset_digest="aa"),
        InputDigest(sop_instance_uid=SOPInstanceUID("1.2"), dataset_digest="bb"),
    ),
    machinery=Machinery(
        engine="eager",
        precision="fp32",
        device="cpu",
        device_name="a processor",
        threads=2,
        libraries=(("torch", "2.9.0"), ("numpy", "2.4.0")),
    ),
)


def _prediction(*scores: float) -> Prediction:
    """Give a prediction with an image for each score, and one that failed."""
    images = [
        ImageResult(
            sop_instance_uid=SOPInstanceUID(f"1.{n}"), frames=(1,), scores=(score,)
        )
        for n, score in enumerate(scores, start=1)
    ]
    failed = ImageResult(sop_instance_uid=SOPInstanceUID("1.99"), error="broken")
    return replace(samples.prediction(), images=(*images, failed), provenance=MADE_WITH)


def test_the_same_bits_are_equal_and_one_bit_is_not() -> None:
    before = _prediction(0.25, 0.5)
    assert compare(before, before).verdict(0) == BIT_EQUAL
    after = _prediction(0.25, math.nextafter(0.5, 1))
    found = compare(before, after)
    assert found.verdict(0) == DIFFERENT
    assert found.largest is not None
    assert found.largest.difference == 2**-53  # one unit in the last place of 0.5
    assert found.largest.where == "image 2 of 3, class 1"
    assert found.verdict(1e-15) == WITHIN_TOLERANCE
    assert found.changes == ()


def test_a_zero_of_the_other_sign_has_other_bits() -> None:
    found = compare(_prediction(0.0), _prediction(-0.0))
    assert found.verdict(0) == DIFFERENT
    assert found.verdict(1e-12) == WITHIN_TOLERANCE


def test_the_order_of_the_images_does_not_matter() -> None:
    before = _prediction(0.1, 0.2)
    after = replace(before, images=before.images[::-1])
    assert compare(before, after).verdict(0) == BIT_EQUAL


def test_a_score_that_became_no_number_is_infinitely_far() -> None:
    found = compare(_prediction(0.5), _prediction(math.nan))
    assert found.largest is not None
    assert found.largest.difference == math.inf
    assert found.verdict(1e300) == DIFFERENT


def test_an_image_that_is_not_evaluated_any_more_is_within_no_tolerance() -> None:
    before = _prediction(0.1, 0.2)
    gone = ImageResult(sop_instance_uid=SOPInstanceUID("1.2"), error="Rows is missing")
    after = replace(before, images=(before.images[0], gone, before.images[2]))
    found = compare(before, after)
    assert found.verdict(1) == DIFFERENT
    assert found.differences == (
        "image 2 was evaluated and is not evaluated: Rows is missing",
    )
    missing = compare(before, replace(before, images=before.images[:1]))
    assert "image 2 is not among the images now" in missing.differences
    added = compare(replace(before, images=before.images[:1]), before)
    assert added.differences == ("2 images were not among the images then",)


def test_other_frames_are_a_difference() -> None:
    before = _prediction(0.1)
    image = replace(before.images[0], frames=(1, 2))
    found = compare(before, replace(before, images=(image, before.images[1])))
    assert found.differences == ("image 1: other frames were evaluated",)


def test_every_finding_counts() -> None:
    before = _prediction(0.1)
    [finding] = before.findings
    other = replace(finding, probability=0.75)
    found = compare(before, replace(before, findings=(other,)))
    assert found.largest is not None
    assert found.largest.where == "finding 1 (Pneumonia), probability"
    assert found.largest.difference == 0.125
    undecided = replace(finding, present=None)
    found = compare(before, replace(before, findings=(undecided,)))
    assert found.differences == ("finding 1 (Pneumonia): another present",)
    found = compare(before, replace(before, findings=()))
    assert found.differences == ("there were 1 findings and are 0",)


def _machinery(**changes: object) -> Provenance:
    machinery = replace(MADE_WITH.machinery, **changes)  # type: ignore[arg-type]  # any field, by its name
    return replace(MADE_WITH, machinery=machinery)


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (replace(MADE_WITH, card_sha256="ff"), "card"),
        (replace(MADE_WITH, code_version="0.3.0"), "code"),
        (replace(MADE_WITH, code_sha256="ff"), "code"),
        (
            replace(MADE_WITH, settings=(("max_frames", "9"),)),
            "setting max_frames",
        ),
        (replace(MADE_WITH, inputs=MADE_WITH.inputs[:1]), "inputs missing"),
        (
            replace(
                MADE_WITH,
                inputs=(
                    MADE_WITH.inputs[0],
                    replace(MADE_WITH.inputs[1], dataset_digest="cc"),
                ),
            ),
            "inputs with other bytes",
        ),
        (
            replace(
                MADE_WITH,
                inputs=(
                    *MADE_WITH.inputs,
                    InputDigest(
                        sop_instance_uid=SOPInstanceUID("1.3"), dataset_digest="dd"
                    ),
                ),
            ),
            "inputs added",
        ),
        (_machinery(engine="openvino"), "engine"),
        (_machinery(precision="bf16"), "precision"),
        (_machinery(device="cuda:0"), "device"),
        (_machinery(device_name="another"), "processor"),
        (_machinery(threads=4), "threads"),
        (_machinery(libraries=(("torch", "2.10.0"), ("numpy", "2.4.0"))), "torch"),
    ],
)
def test_whatever_changed_since_is_named(after: Provenance, what: str) -> None:
    before = _prediction(0.5)
    found = compare(before, replace(before, provenance=after))
    assert [change.what for change in found.changes] == [what]
    assert found.verdict(0) == BIT_EQUAL


def test_other_weights_are_named_with_or_without_a_provenance() -> None:
    before = replace(_prediction(0.5), provenance=None)
    after = replace(before, weights_sha256="ff" * 32)
    assert [one.what for one in compare(before, after).changes] == ["weights"]


def test_a_setting_that_an_older_version_did_not_know_is_no_change() -> None:
    before = _prediction(0.5)
    known = replace(MADE_WITH, settings=(*MADE_WITH.settings, ("new", "1")))
    assert compare(before, replace(before, provenance=known)).changes == ()
