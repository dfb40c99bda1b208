"""`models select`: a dry run: which series and frames, why, and with which scores."""

import argparse
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import db.studies
from config.settings import Settings
from dicom_node import app
from dicom_node.commands.named import named_study
from dicom_node.commands.screen import console, print_json
from dicom_node.commands.select_screen import (
    ImageLine,
    describe_verdict,
    print_selection,
)
from dicom_node.core.errors import ReceiveError, UsageError
from dicom_node.core.types import InputFile, Prediction
from dicom_node.receive.foreign import read_instance
from dicom_node.receive.limits import ScanLimits
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
    document = _document(selection, prediction)
    document["model"], document["model_version"] = card.name, card.version
    document["refused"] = refused
    if options.json:
        print_json(document)
        return 0
    for path, reason in refused.items():
        console().print(f"refused  {path}: {reason}", markup=False)
    lines = [
        ImageLine(
            path=image["path"],
            frames=tuple(image["frames"]),
            verdict=image["verdict"],
        )
        for image in document["images"]
    ]
    print_selection(selection, prediction, lines)
    return 0


def _files(
    options: argparse.Namespace, settings: Settings
) -> tuple[list[InputFile], dict[str, str]]:
    if bool(options.paths) == bool(options.study):
        raise UsageError("name files or folders, or a study with --study")
    if options.study:
        return _stored(options.study, settings), {}
    scan = ReceiveOptions.from_settings(settings).scan
    files, refused = _read(options.paths, scan)
    if not files:
        raise UsageError("none of these is a DICOM file that the node would accept")
    return files, refused


def _stored(key: str, settings: Settings) -> list[InputFile]:
    """Return the files of a study that the node has received."""
    with closing(app.open_database(settings)) as database:
        study = db.studies.load(database, named_study(database, key))
    return list(open_inputs(app.instance_store(settings), study.evidence))


def _read(
    paths: list[Path], limits: ScanLimits
) -> tuple[list[InputFile], dict[str, str]]:
    files: list[InputFile] = []
    refused: dict[str, str] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
        members = sorted(path.rglob("*")) if path.is_dir() else [path]
        for member in members:
            if not member.is_file():
                continue
            try:
                found = read_instance(member, limits)
            except ReceiveError as error:
                refused[str(member)] = str(error)
                continue
            files.append(
                InputFile(
                    sop_instance_uid=found.sop_instance_uid,
                    sop_class_uid=found.sop_class_uid,
                    series_instance_uid=found.series_instance_uid,
                    path=member,
                    header=found.header,
                )
            )
    return files, refused


def _document(selection: Selection, prediction: Prediction | None) -> dict[str, Any]:
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
