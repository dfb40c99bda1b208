"""Keys of millions of files by the folder that they lie in, few of them in memory."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Final

_KEY_BYTES: Final = 32
# So much of each folder's keys stays in memory: 256 folders take 2 MiB.
_CHUNK_BYTES: Final = 256 * _KEY_BYTES


class KeyBuckets:
    """Takes keys in any order and gives those of one folder.

    What does not stay in memory goes to a file without a name, which is gone with the
    process.

    Args:
        folder: where that file may lie; the system's folder, if there is no such.
        folder_of: names the folder of a key's file.
    """

    def __init__(
        self, keys: Iterable[str], *, folder: Path, folder_of: Callable[[str], str]
    ) -> None:
        """Read all the keys, of 64 hexadecimal digits each.

        Raises:
            OSError: the disk does not take them.
        """
        self._folder = folder if folder.is_dir() else None
        self._file: IO[bytes] | None = None
        self._last = defaultdict[str, bytearray](bytearray)
        self._chunks = defaultdict[str, list[int]](list)
        for key in keys:
            name = folder_of(key)
            last = self._last[name]
            last += bytes.fromhex(key)
            if len(last) == _CHUNK_BYTES:
                self._chunks[name].append(self._write(last))
                last.clear()

    @property
    def folders(self) -> frozenset[str]:
        """The folders that keys were given of."""
        return frozenset(self._last)

    def of_folder(self, name: str) -> set[bytes]:
        """Return the keys of a folder, 32 bytes each."""
        found: set[bytes] = set()
        if self._file is not None:
            for start in self._chunks.get(name, ()):
                chunk = os.pread(self._file.fileno(), _CHUNK_BYTES, start)
                found.update(_cut(chunk))
        found.update(_cut(bytes(self._last.get(name, b""))))
        return found

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()

    def _write(self, chunk: bytearray) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - `close` closes it
        start = self._file.tell()
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        rest.release()
        return start


def _cut(chunk: bytes) -> Iterable[bytes]:
    return (
        chunk[start : start + _KEY_BYTES] for start in range(0, len(chunk), _KEY_BYTES)
    )
