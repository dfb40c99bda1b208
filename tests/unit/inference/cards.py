"""Cards and bundles that the tests make."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from dicom_node.core.types import CodedConcept
from inference.api import (
    Calibration,
    ClassSpec,
    InputSpec,
    ModelCard,
    Scope,
)
from inference.card import write_card
from inference.vit.network import create_network

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
        arch_options=(("depth", 1), ("embed_dim", 48)),
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
    return replace(card, **changes)  # type: ignore[arg-type]  # any field, by its name


def make_bundle(folder: Path, **changes: object) -> ModelCard:
    """Write a bundle of random weights that gives scores well apart from 0 and 1."""
    folder.mkdir(parents=True, exist_ok=True)
    card = make_card(folder, name=folder.name, **changes)
    torch.manual_seed(7)
    network = create_network(card)
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():  # a fresh head may be all zeros
            state[name] = tensor + 0.05 * torch.randn(tensor.shape)
    save_file(state, card.weights_path)
    return write_bundle(card)


def write_bundle(card: ModelCard) -> ModelCard:
    """Write card.toml with the digest of the weights that lie beside it."""
    digest = hashlib.sha256(card.weights_path.read_bytes()).hexdigest()
    card = replace(card, weights_sha256=digest)
    (card.folder / "card.toml").write_text(write_card(card), encoding="utf-8")
    return card
