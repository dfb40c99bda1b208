"""Fine-tune, calibrate, choose the operating point, measure, write the bundle."""

import time
from dataclasses import replace

import numpy as np
import torch

from dicom_node.core.errors import UsageError
from inference.training.bundle import (
    build_card,
    input_spec,
    performance_data,
    rounded,
    write_card_file,
    write_weights,
)
from inference.training.calibrate import (
    choose_operating_point,
    fit_platt,
    probabilities,
)
from inference.training.checkpoint import remove_checkpoint
from inference.training.evaluate import Evaluation, measure
from inference.training.loop import fine_tune
from inference.training.network import (
    Parameters,
    build_network,
    load_base_weights,
    load_network,
)
from inference.training.options import Progress, Report, TrainOptions, TrainResult
from inference.training.samples import Sample, find_samples, split
from inference.training.scoring import score

# The figures that the card quotes.
CARD_FIGURES = ("auc", "sensitivity", "specificity")


def train(options: TrainOptions, report: Report) -> TrainResult:
    """Make a bundle from labelled images.

    Raises:
        UsageError: data, base weights or settings cannot be used.
    """
    started = time.monotonic()
    _check(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    training, validation = split(find_samples(options.data))
    network = build_network(
        options.architecture, size=options.size, options=dict(options.arch_options)
    )
    if options.base_weights is not None:
        load_base_weights(network, options.base_weights)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    weights, steps = fine_tune(
        network, training, input_spec(options.size), options, report
    )
    evaluation = finish(options, weights, validation, report)
    remove_checkpoint(options.output)
    return TrainResult(
        bundle=options.output,
        card=evaluation.card,
        figures=evaluation.figures,
        steps=steps,
        seconds=time.monotonic() - started,
    )


def finish(
    options: TrainOptions,
    weights: Parameters,
    validation: list[Sample],
    report: Report,
) -> Evaluation:
    """Calibrate and measure weights as they ship, in half precision, and write them.

    Calibration comes first, the operating point second: both on the validation
    split; see `calibrate` for the rules.
    """
    digest = write_weights(options.output, weights)
    report(Progress(stage="write", done=1, total=2))
    card = build_card(options, weights_sha256=digest)
    scored, logits, unreadable = score(
        load_network(card),
        validation,
        card.input,
        batch_size=options.batch_size,
        report=report,
    )
    truth = np.array([sample.present for sample in scored], dtype=np.bool_)
    calibration = fit_platt(logits, truth)
    chances = probabilities(
        logits, slope=calibration.slope, intercept=calibration.intercept
    )
    threshold = choose_operating_point(chances, truth)
    card = replace(
        card,
        calibration=calibration,
        classes=tuple(replace(item, threshold=threshold) for item in card.classes),
    )
    evaluation = measure(
        card,
        scored,
        logits,
        unreadable=unreadable,
        seed=options.seed,
        resamples=options.resamples,
    )
    card = replace(
        card,
        performance=tuple(
            (name, rounded(item))
            for name, item in evaluation.figures
            if name in CARD_FIGURES
        ),
        performance_data=performance_data(
            images=len(scored), patients=evaluation.patients
        ),
    )
    write_card_file(card)
    report(Progress(stage="write", done=2, total=2))
    return replace(evaluation, card=card)


def _check(options: TrainOptions) -> None:
    if options.epochs < 1 or options.batch_size < 2:
        raise UsageError("train needs at least one epoch and a batch size of two")
    if options.base_weights is not None and not options.base_weights.is_file():
        raise UsageError("the file of base weights does not exist")
