"""Read a model's card (card.toml)."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

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
from inference.card_agreement import code_faults, disagreements
from inference.card_mending import read_tables
from inference.card_tables import (
    CardFile,
    ClassTable,
    ConceptTable,
    InputTable,
    LabelsTable,
)
from inference.card_text import write_card as write_card
from inference.select.spec import SelectionSpec
from inference.text_file import read_text

CARD_NAME = "card.toml"
CARD_LIMIT_BYTES = 8 << 20
LABEL_LIMIT = 100_000
CODE_MEANING_LIMIT = 64  # LO, PS3.5 6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CardReading:
    """A card and all that is wrong with it.

    Args:
        card: None where nothing can be made of the file; with faults it has
            stand-ins at `mended` and must not be used to infer.
        faults: what must not be.
        doubts: codes that cannot be ones of their scheme.
        mended: keys whose values could not be used, e.g. "network.architecture".
    """

    card: ModelCard | None
    faults: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    mended: frozenset[str] = frozenset()


def load_card(folder: Path) -> ModelCard:
    """Read the card of the bundle in a folder.

    Raises:
        BundleError: card.toml is missing or has faults; all are named.
    """
    reading = examine_card(folder)
    if reading.card is None or reading.faults:
        raise BundleError(f"{CARD_NAME}: {'; '.join(reading.faults)}")
    return reading.card


def examine_card(folder: Path) -> CardReading:
    """Read the card of a folder as far as it can be read, and name every fault."""
    try:
        document = tomllib.loads(_read(folder, CARD_NAME))
    except BundleError as error:
        return CardReading(card=None, faults=(str(error),))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return CardReading(card=None, faults=(f"is not valid TOML: {error}",))
    tables, structural, mended = read_tables(document)
    if tables is None:
        return CardReading(card=None, faults=structural, mended=mended)
    faults = list(structural)
    faults += [
        found.text
        for found in disagreements(tables)
        if not any(_touches(place, mended) for place in found.places)
    ]
    classes = tuple(_class(item) for item in tables.classes)
    if tables.labels and "labels" not in mended:
        try:
            classes = _read_labels(folder, tables.labels)
        except BundleError as error:
            faults.append(str(error))
        if tables.output.top_k is not None and tables.output.top_k > len(classes) > 0:
            faults.append("output.top_k is above the number of classes")
    return CardReading(
        card=_build_card(folder, tables, classes),
        faults=tuple(faults),
        doubts=tuple(found.text for found in code_faults(tables)),
        mended=mended,
    )


def _touches(place: str, mended: frozenset[str]) -> bool:
    return any(f"{one}.".startswith(f"{place}.") for one in mended)


def _build_card(
    folder: Path, card: CardFile, classes: tuple[ClassSpec, ...]
) -> ModelCard:
    model, network = card.model, card.network
    return ModelCard(
        name=model.name,
        version=model.version,
        manufacturer=model.manufacturer,
        folder=folder,
        architecture=network.architecture or "",
        python_class=network.python_class or "",
        arch_options=tuple(
            (name, tuple(value) if isinstance(value, list) else value)
            for name, value in network.options.items()
        ),
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
        aggregate_k=card.aggregation.k,
        group_by=card.aggregation.group_by,
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
        reduced_decode=table.reduced_decode,
    )


def _class(table: ClassTable) -> ClassSpec:
    return ClassSpec(
        name=table.name,
        concept=_concept(table.concept),
        threshold=table.threshold,
        undetermined_below=table.undetermined_below,
        site=_concept(table.site) if table.site else None,
        report=table.report,
        unit=_concept(table.unit) if table.unit else None,
        lower=table.lower,
        upper=table.upper,
    )


def _concept(table: ConceptTable) -> CodedConcept:
    return CodedConcept(value=table.value, scheme=table.scheme, meaning=table.meaning)


def _read_labels(folder: Path, table: LabelsTable) -> tuple[ClassSpec, ...]:
    """Make a class of each line; its code is the line's place, from 0."""
    lines = _read(folder, table.file).splitlines()
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


def _read(folder: Path, name: str) -> str:
    path = folder / name
    return read_text(path, path.name, limit_bytes=CARD_LIMIT_BYTES)
