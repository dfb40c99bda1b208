"""`models show`: a card for people."""

from collections.abc import Iterator

from rich.table import Table

from inference.api import ClassSpec, InputSpec, ModelCard, Scope
from inference.select.spec import SELECTION_KEYS, SelectionSpec

_MAX_CLASSES = 40


def describe_card(card: ModelCard) -> Iterator[Table]:
    """Yield the tables that say what a model is, takes and gives."""
    about = _grid(f"{card.name} {card.version}")
    for name, text in _about(card):
        if text:
            about.add_row(name, text)
    yield about
    yield _classes(card)


def _grid(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _about(card: ModelCard) -> Iterator[tuple[str, str]]:
    yield "description", card.description
    yield "intended use", card.intended_use
    yield "research only", "yes" if card.research_only else "no"
    yield "manufacturer", card.manufacturer
    yield "licence", card.licence
    yield "network", card.architecture or card.python_class
    yield "options", ", ".join(f"{key} = {value}" for key, value in card.arch_options)
    yield "input", _input(card.input)
    yield "windowing", _windowing(card.input)
    yield "output", card.activation + (f", top {card.top_k}" if card.top_k else "")
    method = card.calibration.method
    if method != "none":
        slope, intercept = card.calibration.slope, card.calibration.intercept
        yield "calibration", f"{method}, slope {slope:g}, intercept {intercept:g}"
    yield "scope", "; ".join(_scope(card.scope)) or "every image: nothing is limited"
    yield "selection", _selection(card.selection)
    k = f" (k = {card.aggregate_k})" if "topk_mean" in _methods(card) else ""
    yield (
        "aggregation",
        f"{card.aggregate_frames} over at most {card.max_frames} frames, "
        f"{card.aggregate_images} over images{k}",
    )
    if card.group_by != "none":
        yield "findings", f"one for each {card.group_by}"
    yield (
        "measured",
        ", ".join(
            f"{name} {item.estimate:g} ({item.low:g} to {item.high:g})"
            for name, item in card.performance
        ),
    )
    yield "measured on", card.performance_data
    yield "weights sha256", card.weights_sha256
    yield "Device UID", str(card.device_uid)
    yield "folder", str(card.folder)


def _methods(card: ModelCard) -> tuple[str, str]:
    return card.aggregate_frames, card.aggregate_images


def _input(spec: InputSpec) -> str:
    def listed(values: tuple[float, ...]) -> str:
        return ", ".join(f"{value:g}" for value in values)

    rows, columns = spec.size
    return (
        f"{rows} x {columns}, {spec.channels} channels, resize {spec.resize}, "
        f"mean {listed(spec.mean)}, std {listed(spec.std)}"
    )


def _windowing(spec: InputSpec) -> str:
    if spec.windowing == "model":
        return ", ".join(
            f"center {item.center:g} width {item.width:g} {item.function}"
            for item in spec.windows
        )
    if spec.windowing == "file":
        return f"of the file; without one: {spec.windowing_fallback}"
    low, high = spec.percentiles
    return f"percentiles {low:g} to {high:g}"


def _scope(scope: Scope) -> Iterator[str]:
    for name, values in (
        ("modality", scope.modalities),
        ("SOP class", scope.sop_class_uids),
        ("body part", scope.body_parts),
        ("view", scope.view_positions),
    ):
        if values:
            yield f"{name} {', '.join(values)}"
    low, high = scope.min_age_years, scope.max_age_years
    if low is not None:
        yield f"from {low:g} years"
    if high is not None:
        yield f"up to {high:g} years"
    if not scope.exclude_for_processing:
        yield "also FOR PROCESSING"
    if scope.include_secondary:
        yield "also SECONDARY"
    if scope.include_animals:
        yield "also animals"


def _selection(selection: SelectionSpec) -> str:
    default = SelectionSpec()
    return ", ".join(
        f"{key} = {getattr(selection, key)}"
        for key in SELECTION_KEYS
        if getattr(selection, key) != getattr(default, key)
    )


def _classes(card: ModelCard) -> Table:
    table = Table(title="classes", title_justify="left")
    for column in ("#", "class", "code", "meaning", "present", "site", "reported"):
        table.add_column(column)
    for index, item in enumerate(card.classes[:_MAX_CLASSES]):
        concept = item.concept
        table.add_row(
            str(index),
            item.name,
            f"{concept.value} {concept.scheme}",
            concept.meaning,
            _threshold(item),
            item.site.meaning if item.site else "",
            "yes" if item.report else "no",
        )
    hidden = len(card.classes) - _MAX_CLASSES
    if hidden > 0:
        table.caption = f"and {hidden} more: --json has all"
    return table


def _threshold(item: ClassSpec) -> str:
    unit = f" {item.unit.value}" if item.unit else ""
    span = ""
    if item.lower is not None or item.upper is not None:
        low = "" if item.lower is None else f"{item.lower:g}"
        high = "" if item.upper is None else f"{item.upper:g}"
        span = f" within {low}..{high}{unit}"
    if item.threshold is None:
        return f"a value in{unit}{span}" if unit else "not decided"
    band = ""
    if item.undetermined_below is not None:
        band = f", undetermined from {item.undetermined_below:g}"
    return f"from {item.threshold:g}{unit}{band}{span}"
