"""A bundle is written in a folder of its own first, and appears whole or not at all."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dicom_node.core.errors import BundleError

_PREFIX: Final = ".part-"
_TAKEN: Final = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@contextmanager
def part_folder(bundles: Path) -> Iterator[Path]:
    """Make a folder beside the bundles; it goes with the block, unless published.

    It is locked meanwhile, so that others can tell it from what a killed process left.

    Raises:
        OSError: it cannot be made.
    """
    bundles.mkdir(parents=True, exist_ok=True)
    remove_left_parts(bundles)
    part, descriptor = _make_locked(bundles)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(descriptor)


def publish(part: Path, final: Path) -> None:
    """Let a folder that is complete appear as a bundle; never over another.

    Raises:
        BundleError: there is one of its name.
        OSError: it cannot be renamed.
    """
    part.chmod(0o755)
    _sync(part)
    refuse_taken(final)
    try:
        part.rename(final)
    except OSError as error:
        if error.errno in _TAKEN:  # somebody else was faster
            raise _taken(final) from None
        raise
    _sync(final.parent)


def refuse_taken(final: Path) -> None:
    """Refuse a name that a bundle has already.

    Raises:
        BundleError: there is one.
    """
    if final.exists():
        raise _taken(final)


def remove_left_parts(bundles: Path | None) -> int:
    """Remove the folders that killed processes left behind; say how many."""
    removed = 0
    if bundles is None or not bundles.is_dir():
        return removed
    for part in bundles.glob(f"{_PREFIX}*"):
        with suppress(OSError), _locked(part):
            shutil.rmtree(part)
            removed += 1
    return removed


def _make_locked(bundles: Path) -> tuple[Path, int]:
    """Make a folder and lock it; again, if somebody removed it in between."""
    while True:
        part = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=bundles))
        try:
            descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if part.is_dir():
            return part, descriptor
        os.close(descriptor)


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _taken(final: Path) -> BundleError:
    return BundleError(
        f"there already is a model '{final.name}' in {final.parent}: remove its "
        "folder first, or give the new one another name"
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
