"""Measure a bundle on labelled images: figures with intervals, plots, JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dicom_node.core.errors import UsageError
from inference.api import Estimate, ModelCard
from inference.card import load_card
from inference.training import statistics
from inference.training.calibrate import probabilities
from inference.training.network import load_network
from inference.training.options import Report
from inference.training.samples import Sample, find_samples
from inference.training.scoring import Unreadable, score
from inference.training.statistics import Flags, Floats, ReliabilityBin

EVALUATION_NAME = "evaluation.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured.

    Args:
        figures: auc, sensitivity, specificity, brier and ece, in this order.
        present, absent: images of each class that were scored.
        probabilities, truth: of every scored image, in the order of the files.
    """

    bundle: Path
    card: ModelCard
    operating_point: float
    figures: tuple[tuple[str, Estimate], ...]
    present: int
    absent: int
    patients: int
    unreadable: tuple[Unreadable, ...]
    reliability: tuple[ReliabilityBin, ...]
    probabilities: Floats
    truth: Flags

    def to_json(self) -> dict[str, Any]:
        """Give the document that `dicom-node evaluate --json` prints."""
        return {
            **{
                name: {"estimate": item.estimate, "low": item.low, "high": item.high}
                for name, item in self.figures
            },
            "n": self.present + self.absent,
            "classes": {"NORMAL": self.absent, "PNEUMONIA": self.present},
            "patients": self.patients,
            "operating_point": self.operating_point,
            "calibration": [
                {
                    "mean_probability": item.mean_probability,
                    "share_present": item.share_present,
                    "count": item.count,
                }
                for item in self.reliability
            ],
            "unreadable": [
                {
                    "file": f"{item.path.parent.name}/{item.path.name}",
                    "reason": item.reason,
                }
                for item in self.unreadable
            ],
            "bundle": self.card.name,
            "version": self.card.version,
            "weights_sha256": self.card.weights_sha256,
        }


def evaluate(
    bundle: Path,
    data: Path,
    *,
    seed: int,
    resamples: int,
    output: Path | None,
    report: Report,
) -> Evaluation:
    """Measure a bundle on a folder with sub-folders NORMAL and PNEUMONIA.

    Every image of the folder counts, whatever a labels.csv says of splits;
    duplicates that it marks are left out.

    Args:
        resamples: of the bootstrap (patients, stratified by class).
        output: folder for evaluation.json, roc.png and reliability.png.

    Raises:
        BundleError: the bundle must not be used, e.g. its digest differs.
        UsageError: the data has not both classes, or the bundle not one finding
            with a threshold.
    """
    card = load_card(bundle)
    if len(card.classes) != 1 or card.classes[0].threshold is None:
        raise UsageError("evaluate takes bundles with one class and a threshold")
    samples = find_samples(data)
    network = load_network(card)
    scored, logits, unreadable = score(
        network, samples, card.input, batch_size=card.batch_size, report=report
    )
    evaluation = measure(
        card,
        scored,
        logits,
        unreadable=unreadable,
        seed=seed,
        resamples=resamples,
    )
    if output is not None:
        _write(evaluation, output)
    return evaluation


def measure(
    card: ModelCard,
    scored: Sequence[Sample],
    logits: Floats,
    *,
    unreadable: Sequence[Unreadable] = (),
    seed: int,
    resamples: int,
) -> Evaluation:
    """Measure logits against the labels at the card's operating point."""
    truth = np.array([sample.present for sample in scored], dtype=np.bool_)
    if not truth.any() or truth.all():
        raise UsageError("no readable image of one of the classes")
    threshold = card.classes[0].threshold
    if threshold is None:
        raise UsageError("the card has no operating point")
    chances = probabilities(
        logits, slope=card.calibration.slope, intercept=card.calibration.intercept
    )
    drawn = statistics.draw_resamples(
        truth,
        [sample.patient for sample in scored],
        resamples=resamples,
        seed=seed,
    )
    return Evaluation(
        bundle=card.folder,
        card=card,
        operating_point=threshold,
        figures=tuple(
            (name, statistics.estimate(function, chances, truth, drawn))
            for name, function in _measures(threshold).items()
        ),
        present=int(truth.sum()),
        absent=int((~truth).sum()),
        patients=len({sample.patient for sample in scored}),
        unreadable=tuple(unreadable),
        reliability=statistics.reliability(chances, truth),
        probabilities=chances,
        truth=truth,
    )


def _measures(threshold: float) -> dict[str, Callable[[Floats, Flags], float]]:
    return {
        "auc": statistics.area_under_curve,
        "sensitivity": lambda scores, truth: statistics.sensitivity(
            scores, truth, threshold=threshold
        ),
        "specificity": lambda scores, truth: statistics.specificity(
            scores, truth, threshold=threshold
        ),
        "brier": statistics.brier,
        "ece": statistics.expected_calibration_error,
    }


def _write(evaluation: Evaluation, folder: Path) -> None:
    from inference.training.plots import draw_reliability, draw_roc

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(evaluation.to_json(), indent=1)
    (folder / EVALUATION_NAME).write_text(text + "\n", encoding="utf-8")
    draw_roc(evaluation, folder / "roc.png")
    draw_reliability(evaluation, folder / "reliability.png")
