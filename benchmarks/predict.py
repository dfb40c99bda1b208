"""C-STORE to stored prediction of raw CT, beside the bare model on ready tensors."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.alone import Task
from benchmarks.bare import BareModel
from benchmarks.contest import OURS, Contest, Wish, compete_timed
from benchmarks.corpus import CT
from benchmarks.models import write_shipped_for_ct, write_vit_base
from benchmarks.nodes import Node, NodePlan
from benchmarks.pictures import write_picture_templates

BARE: Final = "bare model"
_MOST_STUDIES: Final = 4
_MODELS: Final[tuple[tuple[str, str, Callable[[Path, str], Path]], ...]] = (
    ("shipped-ct", "the shipped ViT", write_shipped_for_ct),
    ("vit-base", "ViT-B/16", write_vit_base),
)


def measure(task: Task) -> list[Contest]:
    """Compare with the shipped ViT and with ViT-B/16."""
    templates = write_picture_templates(CT, Path(task.folder) / "templates")
    return [
        _one(write(Path(task.folder) / name, name), title, templates, task)
        for name, title, write in _MODELS
    ]


def _one(bundle: Path, title: str, templates: tuple[str, ...], task: Task) -> Contest:
    bare = BareModel(bundle)
    # A round of the node must be long: it begins and ends with one stage at work.
    images = _enough(bare, 24 * task.seconds)
    studies = min(_MOST_STUDIES, images // bare.batch_size)
    contest = Contest(
        title=f"{CT.title} raw, C-STORE to prediction, {title}, "
        f"{len(task.cores)} cores",
        wishes=[Wish(of=OURS, against=BARE, at_least=0.9)],
        remarks=[
            f"{images} images in {studies} studies at once, less the quiet time, "
            f"against ready tensors in batches of {bare.batch_size}, same engine."
        ],
    )
    plan = NodePlan(
        folder=Path(task.folder) / "node", models=bundle.parent, model=bundle.name
    )
    with Node(plan) as node:
        return compete_timed(
            contest,
            {
                BARE: lambda: _rate(bare, 8 * task.seconds),
                OURS: lambda: node.rate(templates, images=images, studies=studies),
            },
            task.rounds,
        )


def _enough(bare: BareModel, seconds: float) -> int:
    """Return how many images take about so long: whole batches for every study."""
    bare.run()
    batches = max(1, round(_rate(bare, 1.0) * seconds / bare.batch_size))
    if batches > _MOST_STUDIES:
        batches -= batches % _MOST_STUDIES
    return batches * bare.batch_size


def _rate(bare: BareModel, seconds: float) -> float:
    done, begun = 0, time.perf_counter()
    while not done or time.perf_counter() - begun < seconds:
        done += bare.run()
    return done / (time.perf_counter() - begun)
