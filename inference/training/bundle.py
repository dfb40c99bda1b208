"""Write what was trained as a bundle: weights, card and what the card says."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as serialise

from dicom_node.core.types import CodedConcept
from inference.api import (
    Calibration,
    ClassSpec,
    Estimate,
    InputSpec,
    ModelCard,
    Scope,
)
from inference.card import CARD_NAME, write_card
from inference.training.network import half_precision
from inference.training.options import TrainOptions

WEIGHTS_NAME = "weights.safetensors"

# SNOMED CT, as in PS3.16: the disorder and where it is.
PNEUMONIA = CodedConcept(value="233604007", scheme="SCT", meaning="Pneumonia")
LUNG = CodedConcept(value="39607008", scheme="SCT", meaning="Lung")

# Of ImageNet, which the base weights were trained with.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

DESCRIPTION = (
    "Frontal chest radiograph of a child of 1 to 5 years: is pneumonia present? "
    "A Vision Transformer (the first 6 blocks of DINOv2-small, mean of the patch "
    "tokens, one logit), fine-tuned; docs/model-card.md has the recipe. Grey values "
    "by the file's window; the aspect ratio is not kept, as in the training images. "
    "It does not hold for adults, lateral views or other body parts: see scope."
)
INTENDED_USE = (
    "Research only: not a medical device, not for diagnosis or for the care of a "
    "patient."
)
TRAINING_DATA = (
    "Kermany, Zhang, Goldbaum 2018, Chest X-Ray Images (Pneumonia), Guangzhou Women "
    "and Children's Medical Center, ages 1 to 5, doi:10.17632/rscbjbr9sj.2, "
    "CC BY 4.0: the official training split without duplicates, less one tenth of "
    "its patients for validation. Base weights: DINOv2 ViT-S/14 (Oquab 2023), "
    "Apache-2.0 and MIT."
)
LICENCE = "Weights CC BY 4.0 (training data), from Apache-2.0/MIT base weights"
PERFORMANCE_DATA = (
    "Validation split of the official training data, grouped by patient: {images} "
    "images of {patients} patients. Threshold and calibration were chosen on it, so "
    "sensitivity and specificity are optimistic; 95 % intervals are a bootstrap of "
    "patients, stratified by class. The data's official test split is harder: "
    "normal images score higher there. Expect a lower specificity on new data."
)
SCOPE = Scope(
    modalities=("CR", "DX"),
    body_parts=("CHEST",),
    view_positions=("PA", "AP"),
    min_age_years=1.0,
    max_age_years=5.0,
)


def input_spec(size: int) -> InputSpec:
    """Say how images become model input."""
    return InputSpec(
        size=(size, size),
        resize="stretch",
        windowing="file",
        windowing_fallback="full_range",
        mean=MEAN,
        std=DEVIATION,
        channels=3,
    )


def build_card(options: TrainOptions, *, weights_sha256: str) -> ModelCard:
    """Describe a trained network that is not yet calibrated or measured."""
    finding = ClassSpec(name="pneumonia", concept=PNEUMONIA, site=LUNG)
    return ModelCard(
        name=options.name,
        version=options.version,
        manufacturer="dicom-node project",
        folder=options.output,
        architecture=options.architecture,
        arch_options=options.arch_options,
        weights_sha256=weights_sha256,
        input=input_spec(options.size),
        classes=(finding,),
        activation="sigmoid",
        top_k=None,
        calibration=Calibration(),
        scope=SCOPE,
        aggregate_frames="max",
        aggregate_images="max",
        max_frames=1,
        batch_size=16,
        intended_use=INTENDED_USE,
        research_only=True,
        licence=LICENCE,
        training_data=TRAINING_DATA,
        description=DESCRIPTION,
        performance=(),
        performance_data="",
    )


def write_weights(folder: Path, weights: Mapping[str, torch.Tensor]) -> str:
    """Write weights in half precision and give their sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    content = serialise(half_precision(weights))
    (folder / WEIGHTS_NAME).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def write_card_file(card: ModelCard) -> None:
    """Write card.toml into the card's folder."""
    (card.folder / CARD_NAME).write_text(write_card(card), encoding="utf-8")


def performance_data(*, images: int, patients: int) -> str:
    """Say what the figures on the card were measured on."""
    return PERFORMANCE_DATA.format(images=images, patients=patients)


def rounded(figure: Estimate) -> Estimate:
    """Give a figure with four decimals, as it stands on the card."""
    return Estimate(
        estimate=round(figure.estimate, 4),
        low=round(figure.low, 4),
        high=round(figure.high, 4),
    )
