"""Everything that is wrong with a bundle, in one go."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.api import InputSpec
from inference.card import write_card
from inference.verify import examine_bundle
from tests.unit.inference.cards import make_bundle, write_bundle


def _edit(folder: Path, *changes: tuple[str, str]) -> None:
    path = folder / "card.toml"
    text = path.read_text(encoding="utf-8")
    for right, wrong in changes:
        assert right in text, right
        text = text.replace(right, wrong, 1)
    path.write_text(text, encoding="utf-8")


def test_faults_of_every_kind_are_named_at_once(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    state = load_file(card.weights_path)
    state["head.bias"][0] = float("nan")
    del state["norm.weight"]
    state["stray"] = torch.zeros(1)
    save_file(state, card.weights_path)
    (card.folder / "old.ckpt").write_bytes(b"")
    _edit(
        card.folder,
        ('version = "1.0"', 'verzion = "1.0"'),
        ("mean = [0.5, 0.5, 0.5]", "mean = [0.5]"),
        ("threshold = 0.5", "threshold = 1.5"),
        ('"233604007"', '"233604008"'),
        ('method = "none"', 'method = "temperature"'),
        ("intercept = 0.0", "intercept = 0.5"),
    )
    faults = "\n".join(examine_bundle(card.folder).faults)
    for said in (
        "old.ckpt: weights in a pickle",
        "model.version: is missing",
        "model.verzion: is not a key of a card",
        "mean needs one value for each of the 3 channels, not 1",
        "classes.0.threshold: must be a probability",
        "classes.0.concept: is no code of SCT",
        "method 'temperature' has intercept 0",
        "has sha256",
        "'head.bias' has values that are not finite",
        "1 missing (norm.weight)",
        "1 unknown (stray)",
    ):
        assert said in faults


def test_a_wrong_value_hides_no_other_fault_of_its_table(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    _edit(
        card.folder,
        ('resize = "stretch"', 'resize = "squeeze"'),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.5, 0.0]"),
    )
    faults = "\n".join(examine_bundle(card.folder).faults)
    assert "input.resize" in faults
    assert "std must be above 0" in faults


def test_what_follows_from_a_fault_is_not_a_fault_of_its_own(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    _edit(card.folder, ('"vit_tiny_patch16_224"', '"../vit"'))
    (fault,) = examine_bundle(card.folder).faults
    assert "network.architecture" in fault


@pytest.mark.parametrize(
    ("size", "architecture", "said"),
    [
        (
            (72, 64),
            "vit_tiny_patch16_224",
            "cannot be divided by .* patches of 16 x 16",
        ),
        ((72, 72), "test_maxvit", "takes no input of 72 x 72 pixels|cannot build"),
    ],
)
def test_a_size_that_does_not_divide_is_a_fault(
    tmp_path: Path, size: tuple[int, int], architecture: str, said: str
) -> None:
    options = (("depth", 1), ("embed_dim", 48)) if "vit_t" in architecture else ()
    card = make_bundle(tmp_path / "m", architecture=architecture, arch_options=options)
    card = replace(card, input=InputSpec(size=size, windowing_fallback="percentile"))
    write_bundle(card)
    assert any(re.search(said, fault) for fault in examine_bundle(card.folder).faults)


def test_labels_that_do_not_fit_the_head_are_a_fault(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    more = replace(
        card.classes[0],
        name="second",
        concept=replace(card.classes[0].concept, value="60046008"),
    )
    write_bundle(replace(card, classes=(*card.classes, more)))
    faults = "\n".join(examine_bundle(card.folder).faults)
    assert "the head gives 1 scores and the card names 2 classes" in faults


def test_a_model_that_gives_no_numbers_is_a_fault(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    state = load_file(card.weights_path)
    state["head.weight"] += 3e38
    save_file(state, card.weights_path)
    write_bundle(card)
    (fault,) = examine_bundle(card.folder).faults
    assert "not numbers" in fault


def test_a_folder_without_anything_is_described(tmp_path: Path) -> None:
    faults = examine_bundle(tmp_path).faults
    assert any("card.toml cannot be read" in fault for fault in faults)
    assert any("weights.safetensors is missing" in fault for fault in faults)


def test_a_good_bundle_has_no_fault_and_no_note(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    found = examine_bundle(card.folder)
    assert (found.faults, found.notes) == ((), ())
    assert (card.folder / "card.toml").read_text() == write_card(card)
