"""The tables of card.toml: what may stand in them; card_agreement.py: what agrees."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from inference.card_table import Table
from inference.select.table import SelectionTable

# Value representations of PS3.5 6.2: SH takes 16 characters, LO takes 64, and
# neither a backslash nor a control character.
_PLAIN = r"^[^\\\x00-\x1f\x7f]*[^\\\x00-\x20\x7f][^\\\x00-\x1f\x7f]*$"
ShortText = Annotated[str, Field(min_length=1, max_length=16, pattern=_PLAIN)]
LongText = Annotated[str, Field(min_length=1, max_length=64, pattern=_PLAIN)]
Prose = Annotated[str, Field(max_length=10_000)]
BundleName = Annotated[
    str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
# A bare timm name with an optional tag: no path, no "hf-hub:" prefix.
Architecture = Annotated[
    str, Field(max_length=128, pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$")
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PythonClass = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:"
        r"[A-Za-z_][A-Za-z0-9_]*$",
    ),
]
Pixels = Annotated[int, Field(ge=1, le=8192)]
Scalar = str | int | float | bool
Option = Scalar | list[Scalar]
Aggregation = Literal["max", "mean", "topk_mean", "noisy_or"]

# Keywords of timm.create_model that the card says elsewhere or that would load
# something beside weights.safetensors.
RESERVED_OPTIONS = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "exportable",
        "features_only",
        "img_size",
        "in_chans",
        "model_name",
        "no_jit",
        "num_classes",
        "scriptable",
    }
)


class ModelTable(Table):
    """Who made what, and what for."""

    name: BundleName
    version: LongText
    manufacturer: LongText
    licence: Annotated[str, Field(min_length=1, max_length=256)]
    intended_use: Annotated[str, Field(min_length=1, max_length=10_000)]
    research_only: bool = True
    description: Prose = ""
    training_data: Prose = ""


class NetworkTable(Table):
    """The timm model, or a class by dotted path, and its weights."""

    architecture: Architecture | None = None
    python_class: PythonClass | None = None
    weights_sha256: Digest
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    options: dict[str, Option] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _harmless(cls, options: dict[str, Option]) -> dict[str, Option]:
        for name in options:
            if name in RESERVED_OPTIONS or name.startswith("pretrained"):
                raise ValueError(f"'{name}' is not an option a card may set")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError("an option's name is a Python keyword argument")
        return options


class WindowTable(Table):
    """A VOI window of the model. Source: PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    center: float
    width: Annotated[float, Field(gt=0)]
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"

    @model_validator(mode="after")
    def _width(self) -> Self:
        if self.function == "LINEAR" and self.width < 1:
            raise ValueError("width is at least 1 with the LINEAR function")
        return self


class InputTable(Table):
    """How modality values become model input."""

    size: Annotated[tuple[Pixels, Pixels], Field(strict=False)]
    channels: Literal[1, 3] = 3
    resize: Literal["stretch", "fit", "crop"] = "stretch"
    windowing: Literal["file", "model", "percentile"] = "file"
    windowing_fallback: Literal["refuse", "percentile", "full_range"] = "refuse"
    window_index: Annotated[int, Field(ge=0)] = 0
    windows: Annotated[tuple[WindowTable, ...], Field(strict=False)] = ()
    percentiles: Annotated[tuple[float, float], Field(strict=False)] = (1.0, 99.0)
    mean: Annotated[tuple[float, ...], Field(strict=False)] = ()
    std: Annotated[tuple[float, ...], Field(strict=False)] = ()
    reduced_decode: bool = False


class ConceptTable(Table):
    """A coded concept. Source: PS3.3 8.8."""

    value: ShortText
    scheme: ShortText
    meaning: LongText


class ClassTable(Table):
    """One output of the model."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    concept: ConceptTable
    threshold: float | None = None
    undetermined_below: float | None = None
    site: ConceptTable | None = None
    report: bool = True
    unit: ConceptTable | None = None
    lower: float | None = None
    upper: float | None = None


class OutputTable(Table):
    """What the logits mean."""

    activation: Literal["sigmoid", "softmax", "identity"]
    top_k: Annotated[int, Field(ge=1)] | None = None


class LabelsTable(Table):
    """A label list instead of [[classes]]: one class per line of a text file."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    scheme: ShortText


class CalibrationTable(Table):
    """score = activation(slope * logit + intercept)."""

    method: Literal["none", "temperature", "platt", "linear"] = "none"
    slope: Annotated[float, Field(gt=0)] = 1.0
    intercept: float = 0.0


class ScopeTable(Table):
    """What the model may look at; what is left out sets no limit."""

    modalities: Annotated[tuple[str, ...], Field(strict=False)] = ()
    sop_class_uids: Annotated[tuple[str, ...], Field(strict=False)] = ()
    body_parts: Annotated[tuple[str, ...], Field(strict=False)] = ()
    view_positions: Annotated[tuple[str, ...], Field(strict=False)] = ()
    min_age_years: Annotated[float, Field(ge=0)] | None = None
    max_age_years: Annotated[float, Field(ge=0)] | None = None
    exclude_for_processing: bool = True
    include_secondary: bool = False
    include_animals: bool = False


class AggregationTable(Table):
    """How scores of frames and of images become one score."""

    frames: Aggregation = "max"
    images: Aggregation = "max"
    k: Annotated[int, Field(ge=1, le=10_000)] = 3
    group_by: Literal["none", "laterality", "view"] = "none"
    max_frames: Annotated[int, Field(ge=1, le=10_000)] = 32


class EstimateTable(Table):
    """A measured figure with its 95 % interval."""

    estimate: float
    low: float
    high: float

    @model_validator(mode="after")
    def _order(self) -> Self:
        if not self.low <= self.estimate <= self.high:
            raise ValueError("low, estimate and high must rise")
        return self


class PerformanceTable(Table):
    """What was measured, and on which data."""

    data: Prose = ""
    figures: dict[str, EstimateTable] = Field(default_factory=dict)


class CardFile(Table):
    """The whole of card.toml."""

    model: ModelTable
    network: NetworkTable
    input: InputTable
    output: OutputTable
    classes: Annotated[tuple[ClassTable, ...], Field(strict=False)] = ()
    labels: LabelsTable | None = None
    calibration: CalibrationTable = CalibrationTable()
    scope: ScopeTable = ScopeTable()
    selection: SelectionTable = SelectionTable()
    aggregation: AggregationTable = AggregationTable()
    performance: PerformanceTable = PerformanceTable()
