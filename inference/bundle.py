"""Bundles on disk: found by name, listed, verified and added. torch comes late."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from dicom_node.core.errors import BundleError
from inference.api import ModelCard
from inference.bundle_parts import part_folder, publish, refuse_taken
from inference.card import CARD_NAME, load_card

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBundle:
    """A bundle as `models list` shows it.

    Args:
        card: None if it has faults.
        fault: what is wrong with the card, "" if nothing is.
        shipped: it came with the node, and not from the drop-in folder.
    """

    name: str
    folder: Path
    card: ModelCard | None
    fault: str
    shipped: bool


def shipped_folder() -> Path:
    """Return where the bundles lie that come with the node."""
    return Path(str(resources.files("inference").joinpath("bundles")))


def find_bundle(name: str, folder: Path | None) -> ModelCard:
    """Find a bundle by name: in the drop-in folder first, then among the shipped.

    A drop-in bundle with faults is not replaced by a shipped one.

    Raises:
        BundleError: there is none, or its card has faults.
    """
    if not _NAME.fullmatch(name):
        raise BundleError("a model's name takes letters, digits, '.', '_' and '-'")
    for place in filter(None, (folder, shipped_folder())):
        if (place / name).is_dir():
            return _load_named(place / name)
    where = f" in {folder}" if folder else ", and models.folder is not set"
    known = [item.name for item in list_bundles(folder)]
    raise BundleError(
        f"there is no model '{name}'{where}; known: {', '.join(known) or 'none'}"
    )


def _load_named(folder: Path) -> ModelCard:
    card = load_card(folder)
    if card.name != folder.name:
        raise BundleError(
            f"the folder is '{folder.name}' and model.name '{card.name}': "
            "they must be the same"
        )
    return card


def list_bundles(folder: Path | None) -> tuple[ListedBundle, ...]:
    """List all bundles by name; a drop-in one hides a shipped one of its name."""
    found: dict[str, ListedBundle] = {}
    for place, shipped in ((shipped_folder(), True), (folder, False)):
        if place is None or not place.is_dir():
            continue
        for item in sorted(place.iterdir()):
            if item.is_dir() and _NAME.fullmatch(item.name):
                found[item.name] = _list(item, shipped=shipped)
    return tuple(found[name] for name in sorted(found))


def _list(folder: Path, *, shipped: bool) -> ListedBundle:
    card, fault = None, ""
    try:
        card = _load_named(folder)
    except BundleError as error:
        fault = str(error)
    return ListedBundle(
        name=folder.name, folder=folder, card=card, fault=fault, shipped=shipped
    )


def verify_bundle(folder: Path, python_classes: Sequence[str] = ()) -> list[str]:
    """Name everything that is wrong with a bundle; its model is tried on the CPU.

    Args:
        python_classes: globs of the classes that a card may name.
    """
    from inference.verify import examine_bundle

    return list(examine_bundle(folder, python_classes).faults)


def add_bundle(
    source: Path, target: Path, *, python_classes: Sequence[str] = ()
) -> ModelCard:
    """Verify a bundle and copy its files into the drop-in folder, whole or not at all.

    Raises:
        BundleError: it has faults, or there already is one of its name.
    """
    if faults := verify_bundle(source, python_classes):
        raise BundleError("; ".join(faults))
    card = load_card(source)
    final = target / card.name
    refuse_taken(final)
    _refuse_links(card)
    try:
        _copy_whole(source, final, python_classes)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"the bundle cannot be copied: {reason}") from error
    return replace(card, folder=final)


def _refuse_links(card: ModelCard) -> None:
    """Refuse to copy what lies elsewhere under the name of a bundle's file.

    The weights may be a link: their digest says what they are.
    """
    root = card.folder.resolve()
    for item in sorted(card.folder.iterdir()):
        if not item.is_symlink() or item == card.weights_path:
            continue
        if not Path(os.path.realpath(item)).is_relative_to(root):
            raise BundleError(
                f"{item.name} is a link that leads out of the bundle: put the file "
                "itself there"
            )


def _copy_whole(source: Path, final: Path, python_classes: Sequence[str]) -> None:
    """Copy plain files beside the target, verify them there, then rename."""
    with part_folder(final.parent) as part:
        for item in sorted(source.iterdir()):
            if item.is_file():
                shutil.copyfile(item, part / item.name)
                _sync(part / item.name)
        if faults := verify_bundle(part, python_classes):
            raise BundleError("the copy differs: " + "; ".join(faults))
        publish(part, final)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp_bundle(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return what changes when a file of the bundle is touched; cheap.

    Raises:
        BundleError: the folder is gone.
    """
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, _stat(entry)) for entry in entries]
    except OSError as error:
        raise BundleError(f"the folder of {CARD_NAME} cannot be read") from error
    return tuple(
        sorted(
            (name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found
        )
    )


def _stat(entry: os.DirEntry[str]) -> os.stat_result:
    """Look behind a link, if there is something."""
    try:
        return entry.stat()
    except FileNotFoundError:
        return entry.stat(follow_symlinks=False)
