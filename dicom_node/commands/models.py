"""`models`: list, show, verify, add, bench and select bundles."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from config.settings import Settings
from dicom_node.commands.add import add
from dicom_node.commands.bench import bench
from dicom_node.commands.models_show import describe_card
from dicom_node.commands.screen import console, loaded, print_json
from dicom_node.commands.select import select_images
from dicom_node.commands.try_images import print_trial, trial_document, try_images
from dicom_node.core.errors import BundleError, UsageError
from inference.bundle import find_bundle, list_bundles
from inference.bundle_parts import remove_left_parts
from inference.card import CARD_NAME
from inference.verify import Examination, examine_bundle

_Action = Callable[[argparse.Namespace, Settings], int]


def models(options: argparse.Namespace) -> int:
    """Carry out one action on bundles."""
    actions: dict[str, _Action] = {
        "list": _list,
        "show": _show,
        "verify": _verify,
        "add": add,
        "bench": bench,
        "select": select_images,
    }
    settings = loaded(options).settings
    remove_left_parts(settings.models.folder)
    return actions[options.action](options, settings)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    found = list_bundles(settings.models.folder)
    if options.json:
        print_json(
            [
                {
                    "name": item.name,
                    "version": item.card.version if item.card else None,
                    "folder": str(item.folder),
                    "shipped": item.shipped,
                    "fault": item.fault or None,
                }
                for item in found
            ]
        )
        return 0
    for item in found:
        about = (
            f"{item.card.version}, {item.card.architecture or item.card.python_class}, "
            f"{item.card.description}"
            if item.card
            else f"WRONG: {item.fault}"
        )
        print(f"{item.name}: {about}")
    if not found:
        print("no bundle: set models.folder, or add one with `dicom-node models add`")
    return 0


def _show(options: argparse.Namespace, settings: Settings) -> int:
    card = find_bundle(options.model, settings.models.folder)
    if options.json:
        print_json({**asdict(card), "device_uid": card.device_uid})
        return 0
    screen = console()
    for table in describe_card(card):
        screen.print(table)
    return 0


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    """Say everything that is wrong with one bundle, or with all."""
    if options.images and not options.model:
        raise UsageError("--images needs the name or the folder of one bundle")
    wanted = _folders(options.model, settings)
    allowed = settings.models.python_classes
    found = {name: examine_bundle(place, allowed) for name, place in wanted.items()}
    faults = {name: list(one.faults) for name, one in found.items()}
    for item in list_bundles(settings.models.folder):
        if item.fault and faults.get(item.name) == []:  # a name not the folder's
            faults[item.name] = [item.fault]
    failed = any(faults.values())
    if options.images:
        ((name, folder),) = wanted.items()
        trial = None if failed else try_images(folder, options.images, settings)
        if options.json:
            tried = trial_document(trial) if trial else {}
            of_bundle = {"model": name, "notes": list(found[name].notes)}
            print_json({"faults": faults[name]} | tried | of_bundle)
        else:
            _print_faults(faults, found)
            if trial:
                print_trial(trial)
        return 1 if failed or (trial and trial.faults) else 0
    if options.json:
        print_json(faults)
    else:
        _print_faults(faults, found)
    return 1 if failed else 0


def _print_faults(
    faults: Mapping[str, Sequence[str]], found: Mapping[str, Examination]
) -> None:
    for name, wrong in faults.items():
        if not wrong:
            print(f"{name}: card, digest and weights agree")
            continue
        print(f"{name}: {len(wrong)} fault{'s' if len(wrong) > 1 else ''}")
        for text in wrong:
            print(f"  - {text}")
    for name, one in found.items():
        for note in one.notes:
            print(f"{name}: note: {note}")


def _folders(wanted: str | None, settings: Settings) -> dict[str, Path]:
    """Find the bundles that are meant: all, one by name, or a folder anywhere."""
    if wanted and (Path(wanted) / CARD_NAME).is_file():
        return {Path(wanted).resolve().name: Path(wanted)}
    listed = {item.name: item.folder for item in list_bundles(settings.models.folder)}
    if not wanted:
        return listed
    if wanted not in listed:
        raise BundleError(
            f"there is no model '{wanted}' and no bundle in a folder of that name; "
            f"known: {', '.join(listed) or 'none'}"
        )
    return {wanted: listed[wanted]}
