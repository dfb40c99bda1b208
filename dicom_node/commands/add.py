"""`models add`: a finished bundle, or one made of an architecture and its weights."""

import argparse
import tomllib
from pathlib import Path

from config.settings import Settings
from dicom_node.commands.screen import print_json
from dicom_node.core.errors import BundleError, UsageError
from inference.api import Option, Scope
from inference.bundle import add_bundle
from inference.make_bundle import BundleRequest, make_bundle
from inference.windows import parse_window


def add(options: argparse.Namespace, settings: Settings) -> int:
    """Put a verified bundle where routes find it."""
    if options.weights is None and options.labels is None:
        return _add_folder(options, settings)
    if options.weights is None or options.labels is None:
        raise UsageError("--weights and --labels go together")
    made = make_bundle(
        _request(options),
        options.output or _models_folder(settings),
        python_classes=settings.models.python_classes,
    )
    if options.json:
        print_json(
            {
                "name": made.card.name,
                "version": made.card.version,
                "folder": str(made.card.folder),
                "weights_sha256": made.card.weights_sha256,
                "notes": list(made.notes),
            }
        )
        return 0
    print(f"added {made.card.name} {made.card.version} in {made.card.folder}")
    for note in made.notes:
        print(f"note: {note}")
    print(
        "card.toml there says what is still to FILL IN; then name "
        f'model = "{made.card.name}" in a route'
    )
    return 0


def _add_folder(options: argparse.Namespace, settings: Settings) -> int:
    source = Path(options.bundle)
    if not source.is_dir():
        raise UsageError(
            f"there is no folder {source}: give a bundle's folder, or the name of a "
            "timm model with --weights and --labels"
        )
    card = add_bundle(
        source,
        options.output or _models_folder(settings),
        python_classes=settings.models.python_classes,
    )
    if options.json:
        print_json({"name": card.name, "version": card.version})
    else:
        print(f"added {card.name} {card.version}: name it in a route as model")
    return 0


def _models_folder(settings: Settings) -> Path:
    if settings.models.folder is None:
        raise UsageError(
            "set models.folder in the configuration, bundles go there; or give --output"
        )
    return settings.models.folder


def _request(options: argparse.Namespace) -> BundleRequest:
    try:
        windows = tuple(parse_window(text) for text in options.windows)
    except BundleError as error:
        raise UsageError(f"--windows: {error}") from error
    return BundleRequest(
        architecture=options.bundle,
        weights=options.weights,
        labels=options.labels,
        name=options.name,
        version=options.model_version,
        size=_size(options.size),
        mean=tuple(options.mean) if options.mean else None,
        std=tuple(options.std) if options.std else None,
        resize=options.resize,
        windows=windows,
        windowing_fallback=options.no_window,
        activation=options.activation,
        threshold=options.threshold,
        unit=options.unit,
        options=tuple(_option(text) for text in options.option),
        scope=_scope(options),
        group_by=options.group_by,
    )


def _size(given: list[int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    if len(given) > 2 or min(given) < 1:
        raise UsageError("--size takes rows and columns in pixels, or one side")
    return given[0], given[-1]


def _scope(options: argparse.Namespace) -> Scope:
    def upper(values: list[str]) -> tuple[str, ...]:
        return tuple(value.upper() for value in values)

    return Scope(
        modalities=upper(options.modality),
        body_parts=upper(options.body_part),
        view_positions=upper(options.view),
        min_age_years=options.min_age,
        max_age_years=options.max_age,
    )


def _option(text: str) -> tuple[str, Option]:
    """Read KEY=VALUE; a number, a flag or a list is written as in TOML."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError("--option takes KEY=VALUE, e.g. global_pool=avg")
    try:
        read = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        read = value  # a text without quotes
    return key.strip(), tuple(read) if isinstance(read, list) else read
