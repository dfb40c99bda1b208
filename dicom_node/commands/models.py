"""`models`: list, show, verify, add, bench and select bundles."""

import argparse
from collections.abc import Callable
from dataclasses import asdict

from config.settings import Settings
from dicom_node.commands.screen import loaded, print_json
from dicom_node.commands.select import select_images
from dicom_node.core.errors import UsageError
from inference.bundle import add_bundle, find_bundle, list_bundles, verify_bundle

_Action = Callable[[argparse.Namespace, Settings], int]


def models(options: argparse.Namespace) -> int:
    """Carry out one action on bundles."""
    actions: dict[str, _Action] = {
        "list": _list,
        "show": _show,
        "verify": _verify,
        "add": _add,
        "bench": _bench,
        "select": select_images,
    }
    return actions[options.action](options, loaded(options).settings)


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
            f"{item.card.version}, {item.card.architecture}, {item.card.description}"
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
    else:
        print((card.folder / "card.toml").read_text(encoding="utf-8"), end="")
        print(f"# Device UID {card.device_uid}")
    return 0


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    folder = settings.models.folder
    if options.model:
        wanted = {options.model: find_bundle(options.model, folder).folder}
    else:
        wanted = {item.name: item.folder for item in list_bundles(folder)}
    faults = {name: verify_bundle(place) for name, place in wanted.items()}
    for item in list_bundles(folder):  # also finds a name that is not the folder's
        if item.fault and item.name in faults and not faults[item.name]:
            faults[item.name] = [item.fault]
    if options.json:
        print_json(faults)
    else:
        for name, found in faults.items():
            print(f"{name}: {'; '.join(found) or 'card, digest and weights agree'}")
    return 1 if any(faults.values()) else 0


def _add(options: argparse.Namespace, settings: Settings) -> int:
    if settings.models.folder is None:
        raise UsageError("set models.folder in the configuration: bundles go there")
    card = add_bundle(options.bundle, settings.models.folder)
    if options.json:
        print_json({"name": card.name, "version": card.version})
    else:
        print(f"added {card.name} {card.version}: name it in a route as model")
    return 0


def _bench(options: argparse.Namespace, settings: Settings) -> int:
    from inference.run.bench import bench

    card = find_bundle(options.model, settings.models.folder)
    speed = bench(card, settings.models.device)
    if options.json:
        print_json({**asdict(speed), "images_per_second": speed.images_per_second})
    else:
        print(
            f"{card.name} on {speed.device}: {speed.images_per_second:.1f} images/s "
            f"in batches of {speed.batch_size}"
        )
    return 0
