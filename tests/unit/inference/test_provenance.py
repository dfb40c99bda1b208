"""The digests of a prediction: equal for equal things, and for nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from inference.api import InputSpec, ModelCard, Scope
from inference.provenance import (
    canonical_settings,
    card_digest,
    describe_machinery,
    settings_digest,
)
from tests.unit.inference.cards import make_card


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    """A card that is nowhere on disk."""
    return make_card(tmp_path)


def _digest(card: ModelCard) -> str:
    return settings_digest(canonical_settings(card))


def test_what_only_describes_a_model_changes_no_setting(card: ModelCard) -> None:
    other = replace(
        card,
        name="another",
        version="2.0",
        folder=card.folder / "elsewhere",
        description="more",
        licence="other",
        performance_data="a study",
        batch_size=1,
    )
    assert canonical_settings(other) == canonical_settings(card)


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("input", InputSpec(size=(64, 65)), "input.size"),
        ("scope", Scope(modalities=("CT",)), "scope.modalities"),
        ("aggregate_images", "mean", "aggregate_images"),
        ("max_frames", 9, "max_frames"),
        ("classes", (), "classes"),
    ],
)
def test_what_turns_an_image_into_a_finding_is_a_setting(
    card: ModelCard, field: str, value: object, name: str
) -> None:
    other = replace(card, **{field: value})  # type: ignore[arg-type]  # any field, by its name
    before, after = dict(canonical_settings(card)), dict(canonical_settings(other))
    assert before.keys() == after.keys()
    assert before[name] != after[name]
    assert _digest(other) != _digest(card)


def test_settings_do_not_depend_on_the_order_they_are_written_in(
    card: ModelCard,
) -> None:
    settings = canonical_settings(card)
    assert settings_digest(settings[::-1]) == settings_digest(settings)


def test_a_thousand_classes_fit_into_a_setting(card: ModelCard) -> None:
    many = tuple(replace(card.classes[0], name=f"class {n}") for n in range(1000))
    settings = dict(canonical_settings(replace(card, classes=many)))
    assert settings["classes"].startswith('{"sha256":"')
    other = (*many[:-1], replace(many[-1], threshold=0.6))
    assert dict(canonical_settings(replace(card, classes=other))) != settings


def test_the_digest_of_a_card_covers_the_labels_it_names(tmp_path: Path) -> None:
    assert card_digest(tmp_path) == ""
    (tmp_path / "card.toml").write_text('[labels]\nfile = "labels.txt"\n')
    alone = card_digest(tmp_path)
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    with_labels = card_digest(tmp_path)
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    (tmp_path / "README.txt").write_text("says nothing of the model")
    digests = {alone, with_labels, card_digest(tmp_path)}
    assert len(digests) == 3
    (tmp_path / "README.txt").unlink()
    assert card_digest(tmp_path) in digests


def test_a_card_that_is_no_toml_still_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_bytes(b"\xff\xfe = [")
    assert len(card_digest(tmp_path)) == 64


def test_the_machinery_names_what_a_score_depends_on() -> None:
    found = describe_machinery(
        engine="eager", precision="fp32", device="cpu", threads=3
    )
    assert found.threads == 3
    assert found.device_name
    versions = dict(found.libraries)
    assert {"torch", "timm", "numpy", "pydicom", "imagecodecs"} <= versions.keys()
    assert all(versions.values())
