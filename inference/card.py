"""Read and write a model's card (card.toml)."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from dicom_node.core.errors import BundleError
from dicom_node.core.types import CodedConcept
from inference.api import (
    Calibration,
    ClassSpec,
    Estimate,
    InputSpec,
    ModelCard,
    Scope,
    Window,
)
from inference.card_tables import (
    CardFile,
    ClassTable,
    ConceptTable,
    InputTable,
    LabelsTable,
)
from inference.select.spec import SELECTION_KEYS, SelectionSpec

CARD_NAME = "card.toml"
CARD_LIMIT_BYTES = 8 << 20
LABEL_LIMIT = 100_000
CODE_MEANING_LIMIT = 64  # LO, PS3.5 6.2

Value: TypeAlias = str | int | float | bool | Sequence["Value"] | Mapping[str, "Value"]


def load_card(folder: Path) -> ModelCard:
    """Read the card of the bundle in a folder.

    Raises:
        BundleError: card.toml is missing or has faults; all are named.
    """
    text = _read_text(folder / CARD_NAME)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BundleError(f"{CARD_NAME} is not valid TOML: {error}") from error
    try:
        card = CardFile.model_validate(document)
    except ValidationError as error:
        raise BundleError(f"{CARD_NAME}: {_faults(error)}") from error
    classes = (
        _read_labels(folder, card.labels)
        if card.labels
        else tuple(_class(item) for item in card.classes)
    )
    return _build_card(folder, card, classes)


def _build_card(
    folder: Path, card: CardFile, classes: tuple[ClassSpec, ...]
) -> ModelCard:
    model, network = card.model, card.network
    if card.output.top_k is not None and card.output.top_k > len(classes):
        raise BundleError(f"{CARD_NAME}: output.top_k is above the number of classes")
    return ModelCard(
        name=model.name,
        version=model.version,
        manufacturer=model.manufacturer,
        folder=folder,
        architecture=network.architecture,
        arch_options=tuple(network.options.items()),
        weights_sha256=network.weights_sha256,
        input=_input_spec(card.input),
        classes=classes,
        activation=card.output.activation,
        top_k=card.output.top_k,
        calibration=Calibration(**card.calibration.model_dump()),
        scope=Scope(**card.scope.model_dump()),
        aggregate_frames=card.aggregation.frames,
        aggregate_images=card.aggregation.images,
        max_frames=card.aggregation.max_frames,
        batch_size=network.batch_size,
        intended_use=model.intended_use,
        research_only=model.research_only,
        licence=model.licence,
        training_data=model.training_data,
        description=model.description,
        performance=tuple(
            (name, Estimate(**figure.model_dump()))
            for name, figure in card.performance.figures.items()
        ),
        performance_data=card.performance.data,
        selection=SelectionSpec(**card.selection.model_dump()),
    )


def _input_spec(table: InputTable) -> InputSpec:
    return InputSpec(
        size=table.size,
        resize=table.resize,
        windowing=table.windowing,
        windowing_fallback=table.windowing_fallback,
        window_index=table.window_index,
        windows=tuple(Window(**item.model_dump()) for item in table.windows),
        percentiles=table.percentiles,
        mean=table.mean or (0.5,) * table.channels,
        std=table.std or (0.5,) * table.channels,
        channels=table.channels,
    )


def _class(table: ClassTable) -> ClassSpec:
    return ClassSpec(
        name=table.name,
        concept=_concept(table.concept),
        threshold=table.threshold,
        undetermined_below=table.undetermined_below,
        site=_concept(table.site) if table.site else None,
        report=table.report,
    )


def _concept(table: ConceptTable) -> CodedConcept:
    return CodedConcept(value=table.value, scheme=table.scheme, meaning=table.meaning)


def _read_labels(folder: Path, table: LabelsTable) -> tuple[ClassSpec, ...]:
    """Make a class of each line; its code is the line's place, from 0."""
    lines = _read_text(folder / table.file).splitlines()
    labels = [" ".join(line.replace("\\", "/").split()) for line in lines]
    while labels and not labels[-1]:
        labels.pop()
    if not 2 <= len(labels) <= LABEL_LIMIT or not all(labels):
        raise BundleError(
            f"{table.file}: needs 2 to {LABEL_LIMIT} lines, one label each, none empty"
        )
    return tuple(
        ClassSpec(
            name=label,
            concept=CodedConcept(
                value=str(index),
                scheme=table.scheme,
                meaning=label[:CODE_MEANING_LIMIT].strip(),
            ),
        )
        for index, label in enumerate(labels)
    )


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(CARD_LIMIT_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"{path.name} cannot be read: {reason}") from error
    if len(content) > CARD_LIMIT_BYTES:
        raise BundleError(f"{path.name} is larger than {CARD_LIMIT_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path.name} is not UTF-8 text") from error


def _faults(error: ValidationError) -> str:
    """Say every fault in one line, each with the key it stands at."""
    faults = []
    for item in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"])
        text = {
            "missing": "is missing",
            "extra_forbidden": "is not a key of a card",
        }.get(item["type"], item["msg"].removeprefix("Value error, "))
        faults.append(f"{place}: {text}" if place else text)
    return "; ".join(faults)


def write_card(card: ModelCard) -> str:
    """Give the text of card.toml; `load_card` reads the same card back."""
    lines = ["# What is known of this model: `dicom-node models verify` checks it."]
    for heading, comment, values in _tables(card):
        lines += ["", *(f"# {line}" for line in comment.splitlines()), heading]
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
    network = _pick(card, "architecture weights_sha256 batch_size")
    if card.arch_options:
        network["options"] = dict(card.arch_options)
    yield "[network]", "A timm model; its weights are weights.safetensors.", network
    yield (
        "[input]",
        "Rows and columns, windowing, then (x - mean) / std.",
        _pick(
            replace(card.input, windows=()),
            "size channels resize windowing windowing_fallback window_index "
            "percentiles mean std",
        ),
    )
    for window in card.input.windows:
        yield "[[input.windows]]", "", _pick(window, "center width function")
    yield "[output]", "", _pick(card, "activation top_k")
    for item in card.classes:
        values = _pick(item, "name threshold undetermined_below report")
        for name, concept in (("concept", item.concept), ("site", item.site)):
            if concept is not None:
                values[name] = _pick(concept, "value scheme meaning")
        yield "[[classes]]", "", values
    yield (
        "[calibration]",
        "p = activation(slope * logit + intercept)",
        _pick(card.calibration, "method slope intercept"),
    )
    yield (
        "[scope]",
        "Outside it there is no finding; a missing attribute is outside.",
        _pick(
            card.scope,
            "modalities sop_class_uids body_parts view_positions min_age_years "
            "max_age_years exclude_for_processing include_secondary",
        ),
    )
    if card.selection != SelectionSpec():
        yield "[selection]", "", _pick(card.selection, " ".join(SELECTION_KEYS))
    yield (
        "[aggregation]",
        "",
        {
            "frames": card.aggregate_frames,
            "images": card.aggregate_images,
            "max_frames": card.max_frames,
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
