"""`models select`: a dry run: which series and frames, why, and with which scores."""

import argparse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import db.studies
from config.settings import Settings
from dicom_node import app
from dicom_node.commands.named import named_study
from dicom_node.commands.own_files import read_own_files
from dicom_node.commands.screen import console, print_json
from dicom_node.commands.select_screen import (
    ImageLine,
    describe_verdict,
    print_selection,
)
from dicom_node.core.errors import UsageError
from dicom_node.core.types import InputFile, Prediction
from dicom_node.receive.options import ReceiveOptions
from dicom_node.store.inputs import open_inputs
from inference.bundle import find_bundle
from inference.select.choose import Selection, select
from inference.select.selection import Choice, SeriesChoice
from inference.volume import describe_faults


def select_images(options: argparse.Namespace, settings: Settings) -> int:
    """Show what a model would take of files or of a study, and what it would say.

    Nothing is stored or sent.
    """
    files, refused = _files(options, settings)
    card = find_bundle(options.model, settings.models.folder)
    selection = select(files, card)
    prediction = None
    if not options.no_predict:
        is_own = bool(options.study)
        with closing(app.build_executor(settings, is_guarded=is_own)) as executor:
            prediction = executor.predict(options.model, files)
    document = describe(selection, prediction)
    document["model"], document["model_version"] = card.name, card.version
    document["refused"] = refused
    if options.json:
        print_json(document)
        return 0
    for path, reason in refused.items():
        console().print(f"refused  {path}: {reason}", markup=False)
    print_selection(selection, prediction, image_lines(document))
    return 0


def image_lines(document: Mapping[str, Any]) -> list[ImageLine]:
    """Say of each file of a document what became of it."""
    return [
        ImageLine(
            path=image["path"],
            frames=tuple(image["frames"]),
            verdict=image["verdict"],
        )
        for image in document["images"]
    ]


def _files(
    options: argparse.Namespace, settings: Settings
) -> tuple[list[InputFile], dict[str, str]]:
    if bool(options.paths) == bool(options.study):
        raise UsageError("name files or folders, or a study with --study")
    if options.study:
        return _stored(options.study, settings), {}
    return read_own_files(options.paths, ReceiveOptions.from_settings(settings).scan)


def _stored(key: str, settings: Settings) -> list[InputFile]:
    """Return the files of a study that the node has received."""
    with closing(app.open_database(settings)) as database:
        study = db.studies.load(database, named_study(database, key))
    return list(open_inputs(app.instance_store(settings), study.evidence))


def describe(selection: Selection, prediction: Prediction | None) -> dict[str, Any]:
    """Make the document of a selection, and of what the model says."""
    images = [_image(choice) for choice in selection.choices]
    document: dict[str, Any] = {
        "series": [_series(item) for item in selection.series],
        "selection": dict(selection.parameters),
        "images": images,
    }
    if prediction is None:
        return document
    for image, result in zip(images, prediction.images, strict=True):
        image["verdict"] = result.error or result.skipped or "evaluated"
        image["scores"] = list(result.scores)
        image["windowing"] = result.windowing
    return document | {
        "outcome": prediction.outcome.value,
        "reason": prediction.reason or None,
        "findings": [asdict(finding) for finding in prediction.findings],
    }


def _image(choice: Choice) -> dict[str, Any]:
    return {
        "path": str(choice.file.path),
        "sop_instance_uid": choice.file.sop_instance_uid,
        "frames": list(choice.frames),
        "verdict": choice.skipped or "chosen",
    }


def _series(item: SeriesChoice) -> dict[str, Any]:
    return {
        "series_instance_uid": item.series_instance_uid,
        "series_number": item.series_number,
        "modality": item.modality,
        "series_description": item.description,
        "files": item.files,
        "images": item.images,
        "chosen": item.chosen,
        "verdict": describe_verdict(item),
        "reasons": dict(item.reasons),
        "volumes": [
            {
                "images": len(volume.frames),
                "orientation": volume.orientation or None,
                "spacing_mm": volume.spacing_mm,
                "slice_thickness_mm": volume.thickness_mm,
                "faults": describe_faults(volume) or None,
                "notes": list(volume.notes),
            }
            for volume in item.volumes
        ],
    }
