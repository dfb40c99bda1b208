"""`replay --verify`: infers again and compares; nothing is stored, nothing is sent.

Exit codes: 0 the same, 1 different, 2 it could not be run.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from config.settings import Settings
from dicom_node import app
from dicom_node.commands.reproduction import (
    BIT_EQUAL,
    DIFFERENT,
    WITHIN_TOLERANCE,
    Change,
    Comparison,
    compare,
)
from dicom_node.commands.screen import print_json
from dicom_node.core.errors import InferenceError, NodeError, StoreError
from dicom_node.core.protocols import InstanceStore
from dicom_node.core.provenance import Provenance
from dicom_node.core.states import StudyState
from dicom_node.core.types import InputFile, Instance, Prediction, Study
from dicom_node.store.inputs import open_inputs

CANNOT_RUN = 2
_NAMED = 8
_ENGINES = ("eager", "compile", "openvino")


def verify(
    options: argparse.Namespace,
    settings: Settings,
    *,
    study: Study,
    stored: Mapping[str, Prediction],
) -> int:
    """Run the models again as they ran then, and say what differs.

    Args:
        stored: the prediction of the study's present revision for each model.
    """
    try:
        found = _run_all(settings, study, stored)
    except NodeError as error:
        if options.json:
            print_json({"agrees": None, "error": str(error), "models": []})
        print(f"dicom-node: cannot be run again: {error}", file=sys.stderr)
        return CANNOT_RUN
    agree = all(one.verdict(options.tolerance) != DIFFERENT for one in found.values())
    if options.json:
        models = [
            _document(name, one, stored[name], tolerance=options.tolerance)
            for name, one in found.items()
        ]
        print_json({"agrees": agree, "tolerance": options.tolerance, "models": models})
    else:
        for name, one in found.items():
            for line in describe(name, one, stored[name], options.tolerance):
                print(line)
    return 0 if agree else 1


def describe(
    model: str, found: Comparison, before: Prediction, tolerance: float
) -> Iterator[str]:
    """Say the verdict on one model and what explains it, a line each."""
    verdict = found.verdict(tolerance)
    counted = f"{found.numbers} numbers of {len(before.images)} images"
    if verdict == BIT_EQUAL:
        yield f"{model}: bit-equal, {counted}"
    elif verdict == WITHIN_TOLERANCE:
        yield f"{model}: the same within the tolerance of {tolerance:g}, {counted}"
    else:
        yield f"{model}: different"
    if found.largest:
        pair = found.largest
        yield (
            f"  largest difference {pair.difference:.3g}: {pair.where} "
            f"was {pair.before!r} and is {pair.after!r}"
        )
    for text in found.differences[:_NAMED]:
        yield f"  {text}"
    if len(found.differences) > _NAMED:
        yield f"  and {len(found.differences) - _NAMED} more differences"
    if before.provenance is None:
        yield "  the stored result does not say what it was made with"
    elif not found.changes and verdict != BIT_EQUAL:
        yield "  nothing that is recorded has changed since"
    for change in found.changes:
        yield f"  changed since: {_say(change)}"


def _run_all(
    settings: Settings, study: Study, stored: Mapping[str, Prediction]
) -> dict[str, Comparison]:
    if study.state is StudyState.RECEIVING:
        raise NodeError("the study is still being received: wait until it is routed")
    if not stored:
        raise NodeError("there is no stored result of this revision to compare with")
    evidence = study.evidence
    for prediction in stored.values():
        _require_inputs(prediction.provenance, evidence)
    files = _open(app.instance_store(settings), evidence)
    return {
        model: compare(before, _predict(settings, model, files, before.provenance))
        for model, before in stored.items()
    }


def _require_inputs(made_with: Provenance | None, evidence: Sequence[Instance]) -> None:
    """Refuse to compare with what was made of instances that are not here."""
    if made_with is None:
        return
    here = {item.sop_instance_uid for item in evidence}
    gone = [
        number
        for number, item in enumerate(made_with.inputs, start=1)
        if item.sop_instance_uid not in here
    ]
    if gone:
        raise StoreError(
            f"{len(gone)} of {len(made_with.inputs)} instances are not kept any more "
            f"({_list(gone)}): send the study again"
        )


def _open(store: InstanceStore, evidence: Sequence[Instance]) -> tuple[InputFile, ...]:
    try:
        return open_inputs(store, evidence)
    except StoreError as error:
        broken = [
            number
            for number, item in enumerate(evidence, start=1)
            if not store.intact(item.file_key)
        ]
        raise StoreError(f"{error} ({_list(broken)})") from error


def _predict(
    settings: Settings,
    model: str,
    files: Sequence[InputFile],
    made_with: Provenance | None,
) -> Prediction:
    """Infer as then; where this machine cannot, as it would now.

    What it ran with is in the result, so that a change shows.
    """
    as_then = _settings_then(settings, made_with)
    try:
        with closing(app.build_executor(as_then)) as executor:
            return executor.predict(model, files)
    except InferenceError:
        if as_then == settings:
            raise
    with closing(app.build_executor(settings)) as executor:
        return executor.predict(model, files)


def _settings_then(settings: Settings, made_with: Provenance | None) -> Settings:
    """Choose the engine, precision, device and threads of the stored result."""
    if made_with is None:
        return settings
    machinery = made_with.machinery
    wanted: dict[str, str | int] = {
        "device": machinery.device,
        "threads": machinery.threads,
    }
    if machinery.engine in _ENGINES:  # a model's own class runs as it likes
        wanted |= {"engine": machinery.engine, "precision": machinery.precision}
    known = {
        name: value
        for name, value in wanted.items()
        if value and name in type(settings.models).model_fields
    }
    models = settings.models.model_copy(update=known)
    return settings.model_copy(update={"models": models})


def _document(
    model: str, found: Comparison, before: Prediction, *, tolerance: float
) -> dict[str, Any]:
    pair = found.largest
    return {
        "model": model,
        "verdict": found.verdict(tolerance),
        "numbers": found.numbers,
        "images": len(before.images),
        "largest": pair
        and {
            # JSON has no infinity.
            "difference": pair.difference if math.isfinite(pair.difference) else None,
            "where": pair.where,
            "image": pair.image,
            "before": _number(pair.before),
            "after": _number(pair.after),
        },
        "differences": list(found.differences),
        "provenance": before.provenance is not None,
        "changed": [
            {"what": one.what, "before": one.before, "after": one.after}
            for one in found.changes
        ],
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _say(change: Change) -> str:
    if change.before and change.after:
        return f"{change.what}, was {change.before}, is {change.after}"
    return f"{change.what}, {change.before or change.after}"


def _list(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_NAMED])
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"number {shown}{more}"
