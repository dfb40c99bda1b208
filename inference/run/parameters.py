"""What a reader of a score, or who repeats it, needs to know."""

from collections.abc import Sequence

import torch

from dicom_node.core.types import ImageResult
from inference.api import Calibration, ModelCard
from inference.custom import AnyModel
from inference.provenance import canonical_settings, settings_digest
from inference.vit.model import TimmModel


def engine_of(model: AnyModel) -> tuple[str, str]:
    """Name the engine that runs a model, and its precision."""
    if not isinstance(model, TimmModel):
        return "python class", "fp32"
    spec = model.chosen.engine.spec
    return spec.engine, spec.precision


def describe_engine(model: AnyModel) -> tuple[tuple[str, str], ...]:
    """Say what ran the model and how its scores compare with full precision."""
    engine, precision = engine_of(model)
    said = [("engine", f"{engine} {precision}")]
    if isinstance(model, TimmModel):
        chosen = model.chosen
        if (engine, precision) != ("eager", "fp32"):
            said.append(("difference from fp32", f"{chosen.difference:.1e}"))
        if chosen.one_by_one:
            said.append(("batches", "of one image"))
        elif chosen.largest:
            said.append(("batches", f"of up to {chosen.largest}, some layers apart"))
        elif chosen.sizes and chosen.sizes[0] < model.card.batch_size:
            said.append(("batches", f"of up to {chosen.sizes[0]}"))
        if chosen.refused:
            said.append(("engine refused", chosen.refused))
    return tuple(said)


def describe_run(
    card: ModelCard, images: Sequence[ImageResult], device: str
) -> tuple[tuple[str, str], ...]:
    """Say what a reader of a score, or who repeats it, needs to know."""
    windowings = sorted({image.windowing for image in images if image.windowing})
    spec = card.input
    named = {
        "architecture": card.architecture or card.python_class,
        "input": f"{spec.size[0]}x{spec.size[1]}, {spec.resize}",
        "preprocessing": settings_digest(canonical_settings(card))[:12],
        "windowing": ", ".join(windowings),
        "aggregation over frames": card.aggregate_frames,
        "aggregation over images": card.aggregate_images,
        "findings by": card.group_by if card.group_by != "none" else "",
        "activation": card.activation,
        "calibration": _calibration(card.calibration),
        "threshold source": "model card",
        "torch": torch.__version__,
        "device": device,
    }
    return tuple((name, text) for name, text in named.items() if text)


def _calibration(calibration: Calibration) -> str:
    if calibration.method == "none":
        return "none"
    slope, intercept = calibration.slope, calibration.intercept
    return f"{calibration.method}, slope {slope:g}, intercept {intercept:g}"
