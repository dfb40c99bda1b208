"""Which images are under decoding, in a file that outlives the process."""

import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

_KEY_BYTES: Final = 16
_NOBODY: Final = bytes(_KEY_BYTES)
_SUFFIX: Final = ".decoding"
_KEYS_KEPT: Final = 1024  # of images under decoding, frame after frame


@lru_cache(_KEYS_KEPT)
def image_key(path: Path) -> bytes:
    """Name an image by its file's name, which must not be written down itself."""
    return sha256(os.fsencode(path.name)).digest()[:_KEY_BYTES]


def _make(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in reversed(missing):
        hand_over(path)


def hand_over(path: Path) -> None:
    """Give what root makes to the owner of the folder that it lies in.

    A command that root runs once must not keep the node's own user out.
    """
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


class Record:
    """What this process has under decoding; one slot a thread.

    A mapped page costs no call of the kernel to write and survives any end of the
    process, though not of the machine: that is no decoder's doing.
    """

    def __init__(self, folder: Path) -> None:
        """Make the file; locked for as long as the process lives.

        Raises:
            OSError: it cannot be made.
        """
        _make(folder)
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._path = folder / f"{name}{_SUFFIX}"
        self._slots = mmap.PAGESIZE // _KEY_BYTES
        hidden = folder / f".{name}"
        self._file = hidden.open("xb+")
        hand_over(hidden)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.truncate(mmap.PAGESIZE)
        # Found by others only once it is locked.
        hidden.rename(self._path)
        self._map = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)
        self._free = list(range(self._slots))  # pop and append need no lock

    def note(self, path: Path) -> int:
        """Keep an image in the file; return the number of its slot."""
        slot = self._free.pop()
        begin = slot * _KEY_BYTES
        self._map[begin : begin + _KEY_BYTES] = image_key(path)
        return slot

    def strike(self, slot: int) -> None:
        """Take it out."""
        begin = slot * _KEY_BYTES
        self._map[begin : begin + _KEY_BYTES] = _NOBODY
        self._free.append(slot)

    def close(self) -> None:
        """Remove the file: this process ends as it should."""
        self._path.unlink(missing_ok=True)
        self._map.close()
        self._file.close()


def take_abandoned(folder: Path) -> Iterator[bytes]:
    """Yield what processes that are gone had under decoding, and remove their files."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = file.read()
            for begin in range(0, len(content), _KEY_BYTES):
                key = content[begin : begin + _KEY_BYTES]
                if key != _NOBODY:
                    yield key
            path.unlink(missing_ok=True)
