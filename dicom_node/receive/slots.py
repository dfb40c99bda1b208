"""One place for each association, shared by all receiver processes.

Made before the fork and inherited. A process that is killed releases the lock with its
last descriptor, and its places are found by their process id.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Process id, or 0 when the place is free, and a digest of the peer's address.
_PLACE: Final = struct.Struct("=i16s")
_DIGEST_BYTES: Final = 16


class Slots:
    """Counts associations over processes; safe for threads and for `kill -9`.

    Args:
        limit: associations in all, at least 1.
        limit_per_address: of one peer address, at least 1.
    """

    def __init__(self, limit: int, limit_per_address: int) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._places = mmap.mmap(-1, limit * _PLACE.size)  # shared and anonymous
        # Locks of fcntl belong to a process: its threads need one of their own.
        self._lock_file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._lock_file.close)
        self._threads = threading.Lock()
        _ALL.add(self)

    def take(self, address: str) -> bool:
        """Take a place for an association of this address; False when there is none."""
        wanted = _digest(address)
        with self._locked():
            taken = self._taken()
            if self._is_full(taken, wanted) and self._reclaim_dead(taken):
                taken = self._taken()
            if self._is_full(taken, wanted):
                return False
            index = next(i for i in range(self._limit) if i not in taken)
            self._write(index, os.getpid(), wanted)
            return True

    def give_back(self, address: str) -> None:
        """Free a place that this process took for this address."""
        mine = (os.getpid(), _digest(address))
        with self._locked():
            for index, place in self._taken().items():
                if place == mine:
                    self._write(index, 0, bytes(_DIGEST_BYTES))
                    return

    def reclaim(self, pid: int) -> int:
        """Free all places of a process that has ended; return how many."""
        with self._locked():
            lost = [i for i, (owner, _) in self._taken().items() if owner == pid]
            for index in lost:
                self._write(index, 0, bytes(_DIGEST_BYTES))
            return len(lost)

    def count(self) -> int:
        """Return how many associations are open, over all processes."""
        with self._locked():
            return len(self._taken())

    def _is_full(self, taken: dict[int, tuple[int, bytes]], wanted: bytes) -> bool:
        if len(taken) >= self._limit:
            return True
        addresses = Counter(address for _, address in taken.values())
        return addresses[wanted] >= self._limit_per_address

    def _reclaim_dead(self, taken: dict[int, tuple[int, bytes]]) -> bool:
        """Free the places of processes that are gone; tell whether there were any."""
        owners = {owner for owner, _ in taken.values()} - {os.getpid()}
        dead = {owner for owner in owners if not _is_alive(owner)}
        for index, (owner, _) in taken.items():
            if owner in dead:
                self._write(index, 0, bytes(_DIGEST_BYTES))
        return bool(dead)

    def _taken(self) -> dict[int, tuple[int, bytes]]:
        places = enumerate(_PLACE.iter_unpack(self._places[:]))
        return {index: (pid, address) for index, (pid, address) in places if pid}

    def _write(self, index: int, pid: int, address: bytes) -> None:
        start = index * _PLACE.size
        self._places[start : start + _PLACE.size] = _PLACE.pack(pid, address)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._lock_file, fcntl.LOCK_UN)

    def renew_lock(self) -> None:
        """Have a lock that no thread of the parent process can hold."""
        self._threads = threading.Lock()


def _after_fork() -> None:
    for slots in _ALL:
        slots.renew_lock()


_ALL: Final[weakref.WeakSet[Slots]] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork)


def _digest(address: str) -> bytes:
    return hashlib.blake2b(address.encode(), digest_size=_DIGEST_BYTES).digest()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
