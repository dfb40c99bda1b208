"""Cards and bundles that the tests make."""

import hashlib
from dataclasses import replace
from pathlib import Path

from dicom_node.core.types import CodedConcept
from inference.api import (
    Calibration,
    ClassSpec,
    InputSpec,
    ModelCard,
    Scope,
)
from inference.card import write_card

PNEUMONIA = ClassSpec(
    name="PNEUMONIA",
    concept=CodedConcept(value="233604007", scheme="SCT", meaning="Pneumonia"),
    threshold=0.5,
)


def make_card(folder: Path, **changes: object) -> ModelCard:
    """Give a small valid card with some fields changed."""
    card = ModelCard(
        name="tiny",
        version="1.0",
        manufacturer="Test",
        folder=folder,
        architecture="vit_tiny_patch16_224",
        arch_options=(("depth", 2),),
        weights_sha256="0" * 64,
        input=InputSpec(size=(64, 64), windowing_fallback="percentile"),
        classes=(PNEUMONIA,),
        activation="sigmoid",
        top_k=None,
        calibration=Calibration(),
        scope=Scope(),
        aggregate_frames="max",
        aggregate_images="max",
        max_frames=8,
        batch_size=4,
        intended_use="Tests.",
        research_only=True,
        licence="MIT",
        training_data="",
        description="",
        performance=(),
        performance_data="",
    )
    return replace(card, **changes)  # type: ignore[arg-type]


def write_bundle(card: ModelCard) -> ModelCard:
    """Write card.toml with the digest of the weights that lie beside it."""
    digest = hashlib.sha256(card.weights_path.read_bytes()).hexdigest()
    card = replace(card, weights_sha256=digest)
    (card.folder / "card.toml").write_text(write_card(card), encoding="utf-8")
    return card
