"""A child process forked off this one: what is loaded here it need not load again."""

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from dicom_node.child import prepare_child
from dicom_node.streams import flush_standard_streams

_ASKED_BY: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LOOK_SECONDS: Final = 0.01
# Of /proc/PID/stat, counted from the state, which follows the name (proc(5)).
_ARGUMENTS_START: Final = 45
_ARGUMENTS_END: Final = 46


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a child does.

    Args:
        run: is carried out in the child; returns its exit code.
        words: the child's command line for those who list processes.
    """

    run: Callable[[], int]
    words: Sequence[str]


class Forked:
    """A child of this process.

    Args:
        output: what it prints, None where nobody reads it.
    """

    def __init__(self, pid: int, output: int | None) -> None:
        self.pid = pid
        self.stdout = None if output is None else open(output, encoding="utf-8")  # noqa: SIM115 - lives as long as the child
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, -N after signal N; None while it runs."""
        if self._code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
                if self.stdout is not None:
                    self.stdout.close()
        return self._code

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end, at most so long; return what `poll` does."""
        until = None if seconds is None else time.monotonic() + seconds
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                return None
            time.sleep(_LOOK_SECONDS)
        return code

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def fork(role: Role, *, heard: bool) -> Forked:
    """Start a child with a process group, a standard output and signals of its own.

    Only for a process without threads: a lock that another held would stay locked.

    Args:
        heard: its standard output is read here; nobody's else.
    """
    reader, writer = os.pipe() if heard else (None, os.open(os.devnull, os.O_WRONLY))
    flush_standard_streams()
    gc.freeze()  # a collection in the child would copy every page
    parent = os.getpid()
    # A signal in between would run this process's handler in the child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED_BY)
    try:
        pid = os.fork()
        if not pid:
            _live(role, parent, writer)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(writer)
    return Forked(pid, reader)


def _live(role: Role, parent: int, output: int) -> NoReturn:
    """Be the child: never return to what its parent was doing."""
    code: object = 1
    try:
        os.setpgid(0, 0)
        _begin_anew(parent, output)
        show_words(role.words)
        code = role.run()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001 - a process's edge
        sys.excepthook(*sys.exc_info())
    finally:
        flush_standard_streams()
        os._exit(code if isinstance(code, int) else 1)


def _begin_anew(parent: int, output: int) -> None:
    """Take on nothing of the parent but what it has loaded."""
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    # Not by their objects: nothing of the parent's may be told, flushed or unlocked.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    prepare_child(parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED_BY)


def show_words(words: Sequence[str]) -> None:
    """Show other words as this process's command line, as far as there is room.

    Whoever lists processes, a person or a script, must be able to tell the roles apart.
    The words lie in memory that the kernel reads (proc(5), cmdline).
    """
    if sys.platform != "linux":
        return
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[_ARGUMENTS_START]), int(fields[_ARGUMENTS_END])
    room = end - start
    if start <= 0 or room <= 0:  # the kernel does not say
        return
    shown = _joined(words)
    if len(shown) > room:  # the interpreter's folder says the least
        shown = _joined([Path(words[0]).name, *words[1:]])
    content = shown[: room - 1].ljust(room, b"\0")  # without an end it would go on
    ctypes.memmove(start, content, room)


def _joined(words: Sequence[str]) -> bytes:
    return b"\0".join(os.fsencode(word) for word in words) + b"\0"
