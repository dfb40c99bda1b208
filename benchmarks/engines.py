"""What runs a model on the CPU: torch, torch.compile and OpenVINO, and their scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.alone import Task
from benchmarks.contest import Contest, Wish, compete
from benchmarks.models import SHIPPED, write_vit_base
from benchmarks.pictures import largest_difference
from benchmarks.radiographs import find_radiographs, read_input, write_radiograph
from inference.api import Image
from inference.card import load_card
from inference.run.engines.engine import REFERENCE, EngineSpec, engines_here
from inference.run.options import EngineWish
from inference.vit.model import TimmModel

_ALL: Final = tuple(
    EngineSpec(engine, precision)
    for engine in ("eager", "compile", "openvino")
    for precision in ("fp32", "bf16")
)
_BF16_WANTED: Final = 1.6
_OPENVINO_WANTED: Final = 2.0


def measure(task: Task) -> list[Contest]:
    """Compare with the shipped model and with ViT-B/16 of random weights."""
    base = write_vit_base(Path(task.folder) / "models", "vit-base")
    return [_one(SHIPPED, "the shipped ViT", task), _one(base, "ViT-B/16", task)]


def _one(bundle: Path, title: str, task: Task) -> Contest:
    batch = _batch(bundle)
    contest = Contest(
        title=f"{title}, batches of {len(batch)}, {len(task.cores)} cores",
    )
    models: dict[str, TimmModel] = {}
    for spec in _ALL:
        if spec not in engines_here(torch.device("cpu")):
            contest.missing(str(spec), "not measured: " + _why_absent(spec))
            continue
        model = TimmModel(load_card(bundle), _wish(spec))
        model.load("cpu")
        if model.chosen.refused:
            contest.missing(str(spec), f"not used: {model.chosen.refused}")
        else:
            models[str(spec)] = model
    contest.wishes = _wishes(set(models))
    contest.remarks = [_differences(models, *_telling(bundle, batch, task))]
    lanes = {name: _lane(model, batch) for name, model in models.items()}
    return compete(contest, lanes, task.plan)


def _wish(spec: EngineSpec) -> EngineWish:
    return EngineWish(engine=spec.engine, precision=spec.precision)


def _why_absent(spec: EngineSpec) -> str:
    if spec.precision == "bf16":
        return "this processor has no bfloat16 instructions"
    return "pip install 'dicom-node[openvino]'"


def _wishes(measured: set[str]) -> list[Wish]:
    """bf16 and OpenVINO, the latter in the lower precision where there is one."""
    openvino = "openvino bf16" if "openvino bf16" in measured else "openvino fp32"
    return [
        Wish(of="eager bf16", against=str(REFERENCE), at_least=_BF16_WANTED),
        Wish(of=openvino, against=str(REFERENCE), at_least=_OPENVINO_WANTED),
    ]


def _batch(bundle: Path) -> Image:
    """Ready tensors: noise of the mean and deviation that normalised images have."""
    card = load_card(bundle)
    shape = (card.batch_size, card.input.channels, *card.input.size)
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def _telling(bundle: Path, batch: Image, task: Task) -> tuple[Image, str]:
    """Return images whose scores tell something: noise is never near a threshold."""
    paths = find_radiographs(task.data)
    if not paths:
        return batch, "images of noise"
    spec, target = load_card(bundle).input, Path(task.folder) / "radiograph.dcm"
    read = [read_input(write_radiograph(path, target), spec) for path in paths]
    return np.concatenate(read), "real radiographs"


def _differences(models: dict[str, TimmModel], images: Image, kind: str) -> str:
    """Say how far logits and scores are from eager fp32."""
    tensor = torch.from_numpy(images)
    logits = {
        name: model.chosen.engine.run(tensor).numpy() for name, model in models.items()
    }
    scores = {name: model.predict(images) for name, model in models.items()}
    first = str(REFERENCE)
    said = [
        f"{name} {largest_difference(scores[name], [scores[first]]):.1e} of a score, "
        f"{largest_difference(logits[name], [logits[first]]):.1e} of a logit"
        for name in models
        if name != first
    ]
    return (
        f"Largest difference to {first} over {len(images)} {kind}: {'; '.join(said)}."
    )


def _lane(model: TimmModel, batch: Image) -> Callable[[], int]:
    def once() -> int:
        model.predict(batch)
        return len(batch)

    return once
