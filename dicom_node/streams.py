"""The standard streams of a process, whatever it was started with."""

import contextlib
import os
import sys
from typing import Final, Literal, NoReturn, TextIO

_LAST: Final = 2


def hold_standard_streams() -> None:
    """Open those that were closed at the start, to nowhere.

    Without it a database or a socket would get their numbers, and be written to by
    whoever prints: libraries, the kernel's linker, an abort.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _LAST:
        os.set_inheritable(number, True)
    os.close(number)
    # The interpreter has None for a closed one.
    if sys.stdin is None:
        sys.stdin = _stream(0, "r")
    if sys.stdout is None:
        sys.stdout = _stream(1, "w")
    if sys.stderr is None:
        sys.stderr = _stream(2, "w")


def _stream(number: int, mode: Literal["r", "w"]) -> TextIO:
    return open(number, mode, encoding="utf-8", closefd=False)


def flush_standard_streams() -> None:
    """Write out what was printed; nobody is kept by a disk that is full."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def leave_at_once() -> NoReturn:
    """End this process with 0, whatever its threads are at."""
    flush_standard_streams()
    os._exit(0)
