"""What a training run is asked, what it says on the way and what it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.api import Estimate, ModelCard

ArchOptions = tuple[tuple[str, str | int | float | bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What `train` is asked. The defaults made the bundle that ships.

    Args:
        data: folder with NORMAL and PNEUMONIA; a labels.csv in it or beside it
            gives patients, split and duplicates.
        output: the bundle's folder; the checkpoint lies there while training.
        base_weights: safetensors of the architecture; None starts from noise.
        epochs: rounds over the smaller class, each with as many of the other.
        size: side of the model's input in pixels.
        threads: of torch on the CPU; 0 leaves torch's choice.
        resume: go on from the checkpoint in `output` if there is one.
        checkpoint_steps: steps between two checkpoints.
        probe_images: images per class for the linear probes that start the head
            and fit it at the end; 0 does without both.
        frozen_blocks: transformer blocks that stay as they were pretrained.
        blend: share of the fine-tuned weights in the result; the rest is what the
            run started from, with its linear probe (Wortsman 2022, WiSE-FT): half
            way holds up better on images unlike those of the training.
        resamples: of the bootstrap for the figures on the card.
    """

    data: Path
    output: Path
    base_weights: Path | None = None
    epochs: int = 1
    seed: int = 0
    size: int = 168
    batch_size: int = 32
    learning_rate: float = 1.5e-4
    threads: int = 0
    resume: bool = False
    checkpoint_steps: int = 25
    probe_images: int = 600
    frozen_blocks: int = 2
    blend: float = 0.5
    resamples: int = 1000
    architecture: str = "vit_small_patch14_dinov2"
    arch_options: ArchOptions = (
        ("depth", 6),
        ("fc_norm", False),
        ("global_pool", "avg"),
    )
    name: str = "cxr-pneumonia"
    version: str = "1.0.0"

    def settings(self) -> dict[str, str | int | float]:
        """What a resumed run must have in common with the one it goes on from."""
        return {
            "architecture": self.architecture,
            "arch_options": repr(self.arch_options),
            "epochs": self.epochs,
            "seed": self.seed,
            "size": self.size,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "frozen_blocks": self.frozen_blocks,
            "blend": self.blend,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of a long work.

    Args:
        stage: "read", "probe", "train", "evaluate" or "write".
        loss: running mean of the training loss, None outside "train".
    """

    stage: str
    done: int
    total: int
    loss: float | None = None


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a run gave: the bundle and its figures on the validation split."""

    bundle: Path
    card: ModelCard
    figures: tuple[tuple[str, Estimate], ...]
    steps: int
    seconds: float
