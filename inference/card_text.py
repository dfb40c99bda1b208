"""Write a model's card as the text of card.toml."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from inference.api import ModelCard
from inference.select.spec import SELECTION_KEYS, SelectionSpec

Value: TypeAlias = str | int | float | bool | Sequence["Value"] | Mapping[str, "Value"]


def write_card(
    card: ModelCard, remarks: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Give the text of card.toml; `load_card` reads the same card back.

    Args:
        remarks: further lines of comment by heading, e.g. "[scope]".
    """
    lines = ["# What is known of this model: `dicom-node models verify` checks it."]
    told = dict(remarks or {})
    for heading, comment, values in _tables(card):
        said = [*comment.splitlines(), *told.pop(heading, ())]
        lines += ["", *(f"# {line}" for line in said), heading]
        lines += [f"{_key(key)} = {_text(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _tables(card: ModelCard) -> Iterator[tuple[str, str, dict[str, Value]]]:
    """Give heading, comment and values of every table, in the order of reading."""
    yield (
        "[model]",
        "",
        _pick(
            card,
            "name version manufacturer licence intended_use research_only "
            "description training_data",
        ),
    )
    kind = "python_class" if card.python_class else "architecture"
    network = _pick(card, f"{kind} weights_sha256 batch_size")
    if card.arch_options:
        network["options"] = dict(card.arch_options)
    about = "A class of this Python" if card.python_class else "A timm model"
    yield "[network]", f"{about}; its weights are weights.safetensors.", network
    yield (
        "[input]",
        "Rows and columns, windowing, then (x - mean) / std.",
        _pick(
            replace(card.input, windows=()),
            "size channels resize windowing windowing_fallback window_index "
            "percentiles mean std reduced_decode",
        ),
    )
    for window in card.input.windows:
        yield "[[input.windows]]", "", _pick(window, "center width function")
    yield "[output]", "", _pick(card, "activation top_k")
    for item in card.classes:
        values = _pick(item, "name threshold undetermined_below lower upper report")
        for name in ("concept", "site", "unit"):
            concept = getattr(item, name)
            if concept is not None:
                values[name] = _pick(concept, "value scheme meaning")
        yield "[[classes]]", "", values
    yield (
        "[calibration]",
        "score = activation(slope * logit + intercept)",
        _pick(card.calibration, "method slope intercept"),
    )
    yield (
        "[scope]",
        "Outside it there is no finding; a missing attribute is outside.",
        _pick(
            card.scope,
            "modalities sop_class_uids body_parts view_positions min_age_years "
            "max_age_years exclude_for_processing include_secondary include_animals",
        ),
    )
    if card.selection != SelectionSpec():
        yield "[selection]", "", _pick(card.selection, " ".join(SELECTION_KEYS))
    grouping: dict[str, Value] = {}
    if "topk_mean" in (card.aggregate_frames, card.aggregate_images):
        grouping["k"] = card.aggregate_k
    if card.group_by != "none":
        grouping["group_by"] = card.group_by
    yield (
        "[aggregation]",
        "",
        {
            "frames": card.aggregate_frames,
            "images": card.aggregate_images,
            "max_frames": card.max_frames,
            **grouping,
        },
    )
    yield "[performance]", "", {"data": card.performance_data}
    yield (
        "[performance.figures]",
        "Estimates with their 95 % intervals.",
        {name: _pick(item, "estimate low high") for name, item in card.performance},
    )


def _pick(source: object, names: str) -> dict[str, Value]:
    """Give the named attributes that say something: not None, not an empty list."""
    values = {name: getattr(source, name) for name in names.split()}
    return {name: value for name, value in values.items() if value not in (None, ())}


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "a").isalnum() else _text(key)


def _text(value: Value) -> str:
    """Write a TOML value; its strings, but for DEL, escape as JSON strings do."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case Mapping():
            items = (f"{_key(key)} = {_text(item)}" for key, item in value.items())
            return "{ " + ", ".join(items) + " }" if value else "{}"
        case Sequence():
            return "[" + ", ".join(_text(item) for item in value) + "]"
