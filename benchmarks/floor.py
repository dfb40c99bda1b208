"""The physical limit: reads, writes, syncs and commits, and does nothing else.

No DICOM, no checks, no part file: what a receiver written for this one measurement
would do. Runs as a process of its own: python -m benchmarks.floor PORT FOLDER.

One connection syncs its file and the folder and commits its own row. With several,
each syncs its own files and one of them commits for all that wait.
"""

import os
import queue
import socket
import sqlite3
import sys
import threading
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.blaster import BARE_HEADER

_BUFFER_BYTES: Final = 1 << 20
_TOGETHER: Final = 64


class Rows:
    """One table in a file of its own, WAL and FULL as the node's."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(
            folder / "rows.db", isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT UNIQUE, size INTEGER)"
        )

    def commit(self, rows: list[tuple[str, int]]) -> None:
        """Write these rows in one transaction."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO rows (name, size) VALUES (?, ?)", rows)
        self._database.execute("COMMIT")


@dataclass(slots=True)
class _Waiting:
    row: tuple[str, int]
    done: threading.Event = field(default_factory=threading.Event)


class SharedCommits(threading.Thread):
    """Commits the rows of all connections that wait in one transaction."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(daemon=True)
        self._rows = rows
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()

    def commit(self, row: tuple[str, int]) -> None:
        """Return when this row is committed."""
        waiting = _Waiting(row)
        self._waiting.put(waiting)
        waiting.done.wait()

    def run(self) -> None:
        """Take all that wait, commit, let them go."""
        while True:
            together = [self._waiting.get()]
            while len(together) < _TOGETHER and not self._waiting.empty():
                together.append(self._waiting.get())
            self._rows.commit([waiting.row for waiting in together])
            for waiting in together:
                waiting.done.set()


class Loop:
    """Serves connections, a thread each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = Rows(folder)
        self._shared = SharedCommits(self._rows)
        self._shared.start()
        self._names = count()
        self._open = 0
        self._count = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        """Take what one sender sends until it ends."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._count:
            self._open += 1
        try:
            header = connection.recv(BARE_HEADER.size, socket.MSG_WAITALL)
            if len(header) == BARE_HEADER.size:
                size, images = BARE_HEADER.unpack(header)
                buffer = memoryview(bytearray(_BUFFER_BYTES))
                for _ in range(images):
                    self._take(connection, buffer, size)
                    connection.sendall(b"\1")
        except (OSError, EOFError):
            pass  # the sender went away: the next one counts
        finally:
            with self._count:
                self._open -= 1
            connection.close()

    def _take(self, connection: socket.socket, buffer: memoryview, size: int) -> None:
        name = f"{next(self._names):09}.dcm"
        file = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT, 0o600)
        left = size
        while left:
            received = connection.recv_into(buffer, min(left, _BUFFER_BYTES))
            if not received:
                raise EOFError
            os.write(file, buffer[:received])
            left -= received
        os.fsync(file)
        os.close(file)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        if self._open > 1:
            self._shared.commit((name, size))
        else:
            self._rows.commit([(name, size)])


def main(port: int, folder: Path) -> None:
    """Listen and serve until killed."""
    loop = Loop(folder)
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=loop.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
