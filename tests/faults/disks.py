"""Small file systems of a test's own: to fill, to freeze, to cut the power of."""

import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import find_tool, wait_until

# ioctl EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH (linux/ext4.h): from now on
# nothing reaches the disk, not even the journal's last transactions.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = (2).to_bytes(4, "little")


@dataclass(slots=True, kw_only=True)
class Disk:
    """A mounted file system.

    Args:
        source: the image, or "tmpfs".
    """

    mount_point: Path
    source: Path | str
    options: str

    def cut_power(self) -> None:
        """Drop everything that is not on stable storage, for whoever writes now."""
        descriptor = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, _NO_LOG_FLUSH)
        except OSError as error:
            pytest.skip(f"EXT4_IOC_SHUTDOWN is refused: {error.strerror}")
        finally:
            os.close(descriptor)

    def power_up(self) -> None:
        """Mount again what is left; the programs that used it must be dead."""
        wait_until(self.unmount, what="the disk is not in use", seconds=20)
        _run("mount", "-o", self.options, self.source, self.mount_point)

    def remount(self, option: str) -> None:
        """Mount again with "ro" or "rw"."""
        bind = "bind," if self.options == "bind" else ""
        _run("mount", "-o", f"remount,{bind}{option}", self.mount_point)

    def unmount(self) -> bool:
        """Unmount; say whether that was possible."""
        return _call("umount", self.mount_point).returncode == 0

    def free_bytes(self) -> int:
        """Return what may still be written."""
        status = os.statvfs(self.mount_point)
        return status.f_bavail * status.f_frsize


@contextmanager
def ext4(folder: Path, *, mib: int, make: Sequence[str] = ()) -> Iterator[Disk]:
    """Mount an ext4 image; skip the test where this is refused.

    Args:
        make: further options of mkfs.ext4.
    """
    folder.mkdir(parents=True)
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(mib << 20)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", *make, image)
    with _mounted(image, folder / "disk", "loop") as disk:
        yield disk


@contextmanager
def tmpfs(folder: Path, *, mib: int) -> Iterator[Disk]:
    """Mount a tmpfs; skip the test where this is refused."""
    folder.mkdir(parents=True)
    with _mounted("tmpfs", folder / "disk", f"size={mib}m") as disk:
        yield disk


@contextmanager
def bound(folder: Path) -> Iterator[Disk]:
    """Make a folder a mount of its own, which can be read-only alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with _mounted(folder, folder, "bind") as disk:
        yield disk


@contextmanager
def _mounted(source: Path | str, mount_point: Path, options: str) -> Iterator[Disk]:
    mount_point.mkdir(exist_ok=True)
    kind = ("-t", "tmpfs") if source == "tmpfs" else ()
    _run("mount", *kind, "-o", options, source, mount_point)
    disk = Disk(mount_point=mount_point, source=source, options=options)
    try:
        yield disk
    finally:
        # Lazily: after a failure the node may still run, and ends a little later.
        if not disk.unmount():
            _call("umount", "--lazy", mount_point)


def _run(tool: str, *arguments: str | Path) -> None:
    """Run a program that only root may run; skip the test where it is refused."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk of the test's own needs root")
    finished = _call(tool, *arguments)
    if finished.returncode != 0:
        pytest.skip(f"{tool} is refused on this machine: {finished.stderr[-200:]}")


def _call(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    found = find_tool(tool)
    if found is None:
        pytest.skip(f"{tool} is missing")
    return subprocess.run(
        [found, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
