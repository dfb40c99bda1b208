"""Numbers that processes share: one mapped file for each, which outlives it.

A process claims a slot and adds to it without a system call; whoever serves metrics
reads the files of all. The next process of that role takes the same file over, so that
counters survive a crash and no file is left behind.
"""

import fcntl
import logging
import math
import mmap
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger("dicom_node.metrics")

Key = tuple[str, ...]  # the metric's name, then names and values of labels in turn

_SUFFIX: Final = ".slot"
_SLOTS_PER_ROLE: Final = 64
_SERIES_MAX: Final = 480
_KEY_BYTES: Final = 256
_SEPARATOR: Final = "\x1f"
# Magic, the values (the first six describe the slot), the host's name, the keys.
_MAGIC: Final = b"DNSLOT1\n"  # eight bytes, so that the values are aligned
_COUNT, _PID, _PARENT, _BORN, _BEAT, _FIRST = range(6)
_HOST_AT: Final = len(_MAGIC) + 8 * (_FIRST + _SERIES_MAX)
_KEYS_AT: Final = _HOST_AT + 64
_SIZE: Final = _KEYS_AT + _SERIES_MAX * _KEY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReading:
    """What a slot said when it was read.

    Args:
        alive: its process runs, on this machine.
        beat: time.monotonic() of its last sign of life; 0 if it never gave one.
    """

    role: str
    pid: int
    parent: int
    alive: bool
    beat: float
    values: dict[Key, float]


class Slot:
    """This process's numbers, for all its threads; a fork must not share it.

    Many numbers at once: take `lock`, then change `values[index]` of what `counter`
    and `gauge` returned.
    """

    def __init__(self, folder: Path, role: str) -> None:
        self.lock = threading.Lock()
        self._gauges: set[int] = set()
        self._map, self._file = _claim(folder, role)
        self._view = memoryview(self._map)
        self.values = self._view[len(_MAGIC) : _HOST_AT].cast("d")
        self._indices = {
            key: _FIRST + number
            for number, key in enumerate(_keys(self._map, int(self.values[_COUNT])))
        }
        self._map[_HOST_AT:_KEYS_AT] = _host()
        self.values[_BEAT] = 0.0
        self.values[_BORN] = _born(os.getpid())
        self.values[_PARENT] = os.getppid()
        self.values[_PID] = os.getpid()

    def counter(self, *key: str) -> int:
        """Return the index of a number that only grows, over restarts too."""
        with self.lock:
            return self._index(key)

    def gauge(self, *key: str) -> int:
        """Return the index of a number that starts at 0 in each process."""
        with self.lock:
            index = self._index(key)
            if index not in self._gauges:
                self._gauges.add(index)
                self.values[index] = 0.0
            return index

    def add(self, index: int, amount: float = 1.0) -> None:
        """Add to one number."""
        with self.lock:
            self.values[index] += amount

    def beat(self) -> None:
        """Give a sign of life."""
        self.values[_BEAT] = time.monotonic()

    def close(self) -> None:
        """Leave the slot to the next process of this role; its counters stay."""
        with self.lock:
            for index in self._gauges:
                self.values[index] = 0.0
            self.values[_PID] = self.values[_BEAT] = 0.0
        self.let_go()

    def let_go(self) -> None:
        """Unmap without a change, as a forked child must; late calls count nowhere."""
        with self.lock:
            old, self.values = self.values, memoryview(bytearray(_HOST_AT)).cast("d")
            old.release()
            self._view.release()
            self._map.close()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _index(self, key: Key) -> int:
        """Return where the key's value is; a full slot shares its last one."""
        found = self._indices.get(key)
        if found is not None:
            return found
        number = len(self._indices)
        if number >= _SERIES_MAX - 1:
            return _FIRST + _SERIES_MAX - 1  # past the count: nobody reads it
        text = _clipped(key)
        at = _KEYS_AT + number * _KEY_BYTES
        self._map[at : at + _KEY_BYTES] = text.ljust(_KEY_BYTES, b"\0")
        self.values[_FIRST + number] = 0.0
        self.values[_COUNT] = number + 1
        self._indices[key] = _FIRST + number
        return _FIRST + number


def _clipped(key: Key) -> bytes:
    """Write a key; the name of a destination may be longer than there is room."""
    text = _SEPARATOR.join(key).encode()
    return text[:_KEY_BYTES].decode(errors="ignore").encode()


def read_slots(folder: Path) -> list[SlotReading]:
    """Read every slot; one that cannot be read is left out."""
    found = []
    for path in sorted(folder.glob("*" + _SUFFIX)):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if _sound(content):
            found.append(_reading(path, content))
    return found


def _reading(path: Path, content: bytes) -> SlotReading:
    values = memoryview(content)[len(_MAGIC) : _HOST_AT].cast("d")
    pid = int(values[_PID])
    here = content[_HOST_AT:_KEYS_AT] == _host()
    keys = _keys(content, int(values[_COUNT]))
    return SlotReading(
        role=path.name.rpartition("-")[0],
        pid=pid,
        parent=int(values[_PARENT]),
        alive=here and pid > 0 and _born(pid) == values[_BORN],
        beat=values[_BEAT],
        values={key: values[_FIRST + number] for number, key in enumerate(keys)},
    )


def _claim(folder: Path, role: str) -> tuple[mmap.mmap, int]:
    """Map the role's first file that no living process has; -1 without a file."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(_SLOTS_PER_ROLE):
            path = folder / f"{role}-{number}{_SUFFIX}"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Held as long as the descriptor: the kernel lets go at the end.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return _mapped(file), file
            except BlockingIOError:
                os.close(file)
            except BaseException:
                os.close(file)
                raise
    except OSError as error:
        log.warning("metrics not shared", extra={"error": type(error).__name__})
    else:
        log.warning("metrics not shared", extra={"count": _SLOTS_PER_ROLE})
    private = mmap.mmap(-1, _SIZE)
    private[: len(_MAGIC)] = _MAGIC
    return private, -1


def _mapped(file: int) -> mmap.mmap:
    """Map the file; what is not one of ours, or was cut by a power loss, is zeroed."""
    content = os.pread(file, _SIZE + 1, 0)
    if not _sound(content):
        os.ftruncate(file, 0)
        # A hole would turn a full disk into SIGBUS at some later addition.
        os.posix_fallocate(file, 0, _SIZE)
        os.pwrite(file, _MAGIC, 0)
    return mmap.mmap(file, _SIZE)


def _sound(content: bytes) -> bool:
    if len(content) != _SIZE or not content.startswith(_MAGIC):
        return False
    values = memoryview(content)[len(_MAGIC) : _HOST_AT].cast("d")
    if not all(math.isfinite(value) and value >= 0 for value in values):
        return False
    keys = _keys(content, int(values[_COUNT])) if values[_COUNT] < _SERIES_MAX else []
    return len(set(keys)) == values[_COUNT] and all(all(key) for key in keys)


def _keys(content: bytes | mmap.mmap, count: int) -> list[Key]:
    found = []
    for at in range(_KEYS_AT, _KEYS_AT + count * _KEY_BYTES, _KEY_BYTES):
        text = content[at : at + _KEY_BYTES].rstrip(b"\0").decode(errors="replace")
        found.append(tuple(text.split(_SEPARATOR)))
    return found


def _host() -> bytes:
    size = _KEYS_AT - _HOST_AT
    return socket.gethostname().encode()[:size].ljust(size, b"\0")


def _born(pid: int) -> float:
    """Tell one life of a process id from the next: its start, 0 where unknown.

    Source: proc(5), /proc/pid/stat, field 22.
    """
    try:
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return float(words[19])
    except (OSError, IndexError, ValueError):
        return 0.0
