"""What the tables of a card must agree on."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_node.core.errors import BundleError
from dicom_node.core.types import CodedConcept
from inference.api import Calibration, InputSpec
from inference.card import examine_card, load_card, write_card
from tests.unit.inference.cards import PNEUMONIA, make_card

MONTHS = CodedConcept(value="mo", scheme="UCUM", meaning="month")
LUNG = CodedConcept(value="39607008", scheme="SCT", meaning="Lung")
AGE = replace(PNEUMONIA, unit=MONTHS, lower=0.0, upper=240.0, threshold=100.0)


def _write(folder: Path, **changes: object) -> Path:
    text = write_card(make_card(folder, **changes))
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_card_of_a_regression_is_read_back(tmp_path: Path) -> None:
    card = make_card(
        tmp_path,
        classes=(AGE,),
        activation="identity",
        calibration=Calibration(method="linear", slope=41.2, intercept=127.3),
        aggregate_images="topk_mean",
        aggregate_k=5,
        group_by="view",
        arch_options=(("depths", (1, 2)), ("global_pool", "avg")),
    )
    (tmp_path / "card.toml").write_text(write_card(card), encoding="utf-8")
    assert load_card(tmp_path) == card


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activation": "identity"}, "classes.0.unit: a measured value needs its unit"),
        ({"classes": (AGE,)}, "classes.0.unit: is for activation 'identity'"),
        (
            {"classes": (replace(AGE, threshold=241.0),), "activation": "identity"},
            "classes.0.threshold: lies outside lower to upper",
        ),
        (
            {"classes": (replace(AGE, lower=240.0),), "activation": "identity"},
            "classes.0.lower: must be below upper",
        ),
        (
            {"classes": (replace(AGE, unit=LUNG),), "activation": "identity"},
            "classes.0.unit.scheme: a unit is a code of UCUM",
        ),
        (
            {"classes": (AGE,), "activation": "identity", "top_k": 1},
            "top_k is for probabilities",
        ),
        (
            {
                "classes": (AGE,),
                "activation": "identity",
                "aggregate_images": "noisy_or",
            },
            "aggregation.images: 'noisy_or' is for probabilities",
        ),
        (
            {"input": InputSpec(size=(64, 64), mean=(123.7,) * 3, std=(58.4,) * 3)},
            "input.mean: 123.7 is of pixels from 0 to 255",
        ),
        (
            {"input": InputSpec(size=(64, 64), std=(0.5, 0.5, 1e-40))},
            "input.std: 1e-40 leaves no finite number",
        ),
        (
            {"group_by": "laterality"},
            "aggregation.group_by: 'laterality' needs a site",
        ),
        (
            {"calibration": Calibration(method="linear", slope=2.0)},
            "calibration 'linear' needs activation 'identity'",
        ),
        (
            {"architecture": "", "arch_options": ()},
            "network.architecture:",
        ),
        (
            {"arch_options": (), "python_class": "a.b:C"},
            None,
        ),
    ],
)
def test_values_that_cannot_both_hold_are_refused(
    tmp_path: Path, changes: dict[str, object], said: str | None
) -> None:
    _write(tmp_path, **changes)
    if said is None:  # a class instead of an architecture is a whole card
        assert load_card(tmp_path).python_class == "a.b:C"
        return
    with pytest.raises(BundleError) as error:
        load_card(tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("value", "scheme", "doubtful"),
    [
        ("233604007", "SCT", False),
        ("233604070", "SCT", True),  # two digits changed places
        ("25045-6", "LN", False),
        ("25045-5", "LN", True),
        ("T-D1100", "SRT", False),
        ("anything", "99LOCAL", False),
    ],
)
def test_the_check_digit_of_a_code_is_looked_at(
    tmp_path: Path, value: str, scheme: str, doubtful: bool
) -> None:
    concept = CodedConcept(value=value, scheme=scheme, meaning="something")
    _write(tmp_path, classes=(replace(PNEUMONIA, concept=concept),))
    reading = examine_card(tmp_path)
    assert reading.faults == ()
    assert bool(reading.doubts) is doubtful
    assert load_card(tmp_path).classes[0].concept == concept


@pytest.mark.parametrize(
    "text",
    ["", "model = 3", "[[model]]", "classes = 1", "[input]\nsize = 'x'", "=", "\0"],
)
def test_a_file_that_is_hardly_a_card_is_described_and_no_more(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "card.toml").write_text(text)
    assert examine_card(tmp_path).faults
    with pytest.raises(BundleError):
        load_card(tmp_path)


def test_a_python_class_is_a_dotted_path_and_no_expression(tmp_path: Path) -> None:
    text = write_card(make_card(tmp_path, arch_options=(), python_class="a.b:C"))
    for wrong in ("a.b", "a b:C", "a.b:C()", "../a:C", ":C", "a:"):
        changed = text.replace('"a.b:C"', f'"{wrong}"')
        (tmp_path / "card.toml").write_text(changed, encoding="utf-8")
        with pytest.raises(BundleError, match=r"network\.python_class"):
            load_card(tmp_path)
