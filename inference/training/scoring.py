"""From image files to logits, with the preparation that DICOM images get."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dicom_node.core.errors import PixelError
from inference.api import InputSpec
from inference.pixels.prepare import prepare
from inference.training.options import Progress, Report
from inference.training.samples import Sample, read_plane
from inference.training.statistics import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file that could not be scored, and why."""

    path: Path
    reason: str


def normalise(batch: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """Repeat (images, 1, ...) in [0, 1] over the channels and normalise."""
    mean = torch.tensor(spec.mean).view(1, -1, 1, 1)
    deviation = torch.tensor(spec.std).view(1, -1, 1, 1)
    return (batch.expand(-1, spec.channels, -1, -1) - mean) / deviation


def score(
    network: torch.nn.Module,
    samples: Sequence[Sample],
    spec: InputSpec,
    *,
    batch_size: int,
    report: Report,
) -> tuple[list[Sample], Floats, list[Unreadable]]:
    """Score every readable image.

    Returns:
        the samples that were scored, their logits in the same order, and the
        files that could not be read.
    """
    device = next(network.parameters()).device
    network.eval()
    scored: list[Sample] = []
    unreadable: list[Unreadable] = []
    logits: list[float] = []
    for start in range(0, len(samples), batch_size):
        planes = []
        for sample in samples[start : start + batch_size]:
            try:
                planes.append(prepare(read_plane(sample.path), spec))
            except PixelError as error:
                unreadable.append(Unreadable(path=sample.path, reason=str(error)))
            else:
                scored.append(sample)
        if planes:
            with torch.inference_mode():
                output = network(torch.from_numpy(np.stack(planes)).to(device))
            logits.extend(output[:, 0].float().cpu().tolist())
        done = min(start + batch_size, len(samples))
        report(Progress(stage="evaluate", done=done, total=len(samples)))
    return scored, np.array(logits, dtype=np.float64), unreadable
