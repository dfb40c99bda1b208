"""The model card: what is written is read back, and every fault is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_node.core.errors import BundleError
from dicom_node.core.types import CodedConcept
from inference.api import Calibration, ClassSpec, Estimate, InputSpec, Scope, Window
from inference.card import load_card, write_card
from tests.unit.inference.cards import PNEUMONIA, make_card


def _write(folder: Path, text: str) -> None:
    (folder / "card.toml").write_text(text, encoding="utf-8")


def test_a_written_card_is_read_back_field_for_field(tmp_path: Path) -> None:
    normal = CodedConcept(value="17621005", scheme="SCT", meaning="Normal")
    card = make_card(
        tmp_path,
        manufacturer='Krankenhaus "Süd" & 병원',
        arch_options=(("depth", 1), ("dynamic", True), ("ratio", 0.5), ("a", "b\n\\")),
        input=InputSpec(
            size=(48, 64),
            resize="fit",
            windowing="model",
            windows=(
                Window(center=-600.0, width=1500.0),
                Window(center=40.0, width=400.0, function="SIGMOID"),
                Window(center=1e-7, width=1e16, function="LINEAR_EXACT"),
            ),
            mean=(0.1, 0.2, 0.3),
            std=(1.0, 0.5, 1e-5),
        ),
        classes=(
            replace(PNEUMONIA, undetermined_below=0.25, site=normal),
            ClassSpec(name="NORMAL", concept=normal, report=False),
        ),
        activation="softmax",
        top_k=1,
        calibration=Calibration(method="temperature", slope=0.7),
        scope=Scope(modalities=("CR", "DX"), body_parts=("CHEST",), max_age_years=5.0),
        aggregate_frames="mean",
        aggregate_images="noisy_or",
        training_data="Two\nlines, a tab\t, a bell\x07 and DEL\x7f",
        performance=(("auc", Estimate(estimate=0.97, low=0.95, high=0.98)),),
        performance_data="validation split",
    )
    _write(tmp_path, write_card(card))
    assert load_card(tmp_path) == card


def test_every_fault_of_a_card_is_named_at_once(tmp_path: Path) -> None:
    text = write_card(make_card(tmp_path))
    for right, wrong in (
        ("version =", "verzion ="),
        ("[64, 64]", "[64.5, 0]"),
        ('activation = "sigmoid"', 'activation = "relu"'),
        ("threshold = 0.5", "threshold = 1.5"),
        ("research_only = true", 'research_only = "no"'),
    ):
        assert right in text
        text = text.replace(right, wrong)
    _write(tmp_path, text)
    with pytest.raises(BundleError) as error:
        load_card(tmp_path)
    for place in (
        "model.version: is missing",
        "model.verzion: is not a key",
        "input.size.0",
        "input.size.1",
        "output.activation",
        "classes.0.threshold",
        "model.research_only",
    ):
        assert place in str(error.value)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('"vit_tiny_patch16_224"', '"hf-hub:timm/vit"', "network.architecture"),
        ('"vit_tiny_patch16_224"', '"hf_hub:timm/vit"', "network.architecture"),
        ('"vit_tiny_patch16_224"', '"../vit"', "network.architecture"),
        ("depth = 1", "pretrained = true", "'pretrained' is not an option"),
        ("depth = 1", 'checkpoint_path = "a.pt"', "'checkpoint_path' is not"),
        ('name = "tiny"', 'name = "../tiny"', "model.name"),
        ('value = "233604007"', 'value = "12345678901234567"', "concept.value"),
        ('"Pneumonia"', '"a\\\\b"', "concept.meaning"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.5]", "std needs one value"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.5, 0.0]", "std must be above 0"),
        ('windowing = "file"', 'windowing = "model"', "needs one window"),
        ("threshold = 0.5", "undetermined_below = 0.5", "needs a threshold"),
        ('activation = "sigmoid"', 'activation = "softmax"', "two classes or more"),
        ("slope = 1.0", "slope = 2.0", "method 'none'"),
        ("slope = 1.0", "slope = inf", "calibration.slope"),
        ("max_frames = 8", "max_frames = true", "aggregation.max_frames"),
        ('activation = "sigmoid"', 'activation = "sigmoid"\ntop_k = 2', "top_k"),
        ('weights_sha256 = "0', 'weights_sha256 = "', "network.weights_sha256"),
        ("[model]", "[model", "not valid TOML"),
    ],
)
def test_a_card_that_cannot_hold_is_refused(
    tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    text = write_card(make_card(tmp_path))
    assert right in text
    _write(tmp_path, text.replace(right, wrong, 1))
    with pytest.raises(BundleError, match=said):
        load_card(tmp_path)


def test_a_card_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"card\.toml cannot be read"):
        load_card(tmp_path)
    (tmp_path / "card.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="not UTF-8"):
        load_card(tmp_path)


def test_a_label_file_gives_one_class_per_line(tmp_path: Path) -> None:
    text = write_card(make_card(tmp_path))
    start, end = text.index("[[classes]]"), text.index("# score = activation")
    labels = '[labels]\nfile = "labels.txt"\nscheme = "99LABELS"\n\n'
    _write(tmp_path, text[:start] + labels + text[end:])
    (tmp_path / "labels.txt").write_text(f"tench\ngreat white\n{'x' * 70}\n\n")
    card = load_card(tmp_path)
    assert [item.name for item in card.classes] == ["tench", "great white", "x" * 70]
    assert [item.concept.value for item in card.classes] == ["0", "1", "2"]
    assert card.classes[2].concept.meaning == "x" * 64  # LO, PS3.5 6.2
    (tmp_path / "labels.txt").write_text("tench\n\nshark\n")
    with pytest.raises(BundleError, match=r"labels\.txt"):
        load_card(tmp_path)


def test_the_mark_that_windows_editors_write_is_no_part_of_a_label(
    tmp_path: Path,
) -> None:
    text = write_card(make_card(tmp_path))
    start, end = text.index("[[classes]]"), text.index("# score = activation")
    labels = '[labels]\nfile = "labels.txt"\nscheme = "99LABELS"\n\n'
    (tmp_path / "card.toml").write_text(
        text[:start] + labels + text[end:], encoding="utf-8-sig"
    )
    (tmp_path / "labels.txt").write_text("tench\nshark\n", encoding="utf-8-sig")
    assert [item.name for item in load_card(tmp_path).classes] == ["tench", "shark"]
