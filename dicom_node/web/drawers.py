"""Processes that draw frames: a decoder that hangs or dies costs its picture."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import IO, TYPE_CHECKING, Any, Final
from weakref import finalize

from dicom_node.core.errors import NodeError, PixelError
from inference.pixels import faults

if TYPE_CHECKING:
    from dicom_node.web.picture_presets import Asked

# Decoding takes memory: so many at once, and for so long another request waits.
_AT_ONCE: Final = 2
_WAIT_SECONDS: Final = 20.0
_START_SECONDS: Final = 60.0  # of an interpreter, on a busy machine
_DRAW_SECONDS: Final = 20.0
_READ_BYTES: Final = 1 << 20
_REMEMBERED: Final = 1000
_REMEMBERED_SECONDS: Final = 900.0  # it may have been the machine that was short
_READY: Final = b"ready"
_TRIES: Final = 3
_NO_PROCESS: Final = "no process can be started to draw images: try again"
# No decoder ends so: somebody else has asked the process to.
_FROM_OUTSIDE: Final = (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


class Busy(NodeError):
    """Too many pictures are being drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A frame that is to be drawn.

    Args:
        frame: number, from 1.
        packed: the levels for the page's script, gzipped; else a PNG.
        preset: of a PNG; "" for the first.
        side: the longer one of a PNG at most, in pixels.
    """

    path: Path
    frame: int
    asked: "Asked"
    packed: bool = False
    preset: str = ""
    side: int = 0


class Drawers:
    """Draws in at most two processes, which end by themselves when nobody asks."""

    def __init__(self, *, seconds: float = _DRAW_SECONDS) -> None:
        """Begin with none.

        Args:
            seconds: for one frame, after which its process is ended.
        """
        self._seconds = seconds
        self._turns = BoundedSemaphore(_AT_ONCE)
        self._lock = Lock()
        self._idle: list[_Drawer] = []
        finalize(self, _end_all, self._idle)
        # Of images that ended a process, with the time: nobody waits for them twice.
        self._deadly: OrderedDict[Path, tuple[str, float]] = OrderedDict()

    def draw(self, wanted: Drawing) -> bytes:
        """Return the PNG or the packed levels.

        Raises:
            PixelError: it cannot be drawn, or its decoder hangs or dies.
            Busy: too many others want something.
        """
        with self._turn():
            if known := self._known(wanted.path):
                raise PixelError(known)
            try:
                return self._draw(wanted)
            except _Deadly as fault:
                self._remember(wanted.path, str(fault))
                raise PixelError(str(fault)) from None

    def _draw(self, wanted: Drawing) -> bytes:
        for _ in range(_TRIES):
            drawer = self._take()
            try:
                content = drawer.draw(wanted, self._seconds)
            except _Gone:  # it had nothing to do for too long
                drawer.end()
                continue
            except PixelError:
                self._give_back(drawer)
                raise
            except BaseException:
                drawer.end()
                raise
            self._give_back(drawer)
            return content
        raise Busy(_NO_PROCESS)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=_WAIT_SECONDS):
            raise Busy("too many images are being decoded: try again")
        try:
            yield
        finally:
            self._turns.release()

    def _take(self) -> "_Drawer":
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Drawer()

    def _give_back(self, drawer: "_Drawer") -> None:
        with self._lock:
            self._idle.append(drawer)

    def _known(self, path: Path) -> str:
        with self._lock:
            reason, at = self._deadly.get(path, ("", 0.0))
        return reason if time.monotonic() - at < _REMEMBERED_SECONDS else ""

    def _remember(self, path: Path, reason: str) -> None:
        with self._lock:
            self._deadly[path] = reason, time.monotonic()
            while len(self._deadly) > _REMEMBERED:
                self._deadly.popitem(last=False)


def _end_all(idle: "list[_Drawer]") -> None:
    for drawer in idle:
        drawer.end()


class _Deadly(NodeError):
    """An image that ended or held up its process."""


class _Gone(NodeError):
    """The process ended before it had the job."""


class _Drawer:
    """One process."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            Busy: it does not start now.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dicom_node.web.drawing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._rest = b""
        self._jobs, self._answers = _pipes(self._process)
        try:
            ready = self._line(time.monotonic() + _START_SECONDS) == _READY
        except (TimeoutError, EOFError):
            ready = False
        if not ready:
            self.end()
            raise Busy(_NO_PROCESS)

    def draw(self, wanted: Drawing, seconds: float) -> bytes:
        """Return the picture.

        Raises:
            PixelError: it cannot be drawn; the process lives on.
            _Deadly: it ended the process, or did not end itself.
            _Gone: the process was not there any more.
        """
        until = time.monotonic() + seconds
        try:
            self._jobs.write(json.dumps(_job(wanted)).encode() + b"\n")
            self._jobs.flush()
            about = json.loads(self._line(until))
            content = self._bytes(int(about["size"]), until)
        except TimeoutError:
            raise _Deadly(f"decoding did not end within {seconds:g} s") from None
        except (OSError, EOFError):
            code = self._process.wait()
            if code in _FROM_OUTSIDE:
                raise _Gone("it was idle") from None
            raise _Deadly(f"decoding ended the process ({_ending(code)})") from None
        if about["error"]:
            raise PixelError(about["error"])
        return content

    def end(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        with suppress(OSError):
            self._jobs.close()
        self._answers.close()
        self._process.wait()

    def _line(self, until: float) -> bytes:
        while b"\n" not in self._rest:
            self._rest += self._read(until)
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _bytes(self, size: int, until: float) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size:
            parts.append(self._read(until))
            have += len(parts[-1])
        self._rest = b""
        return b"".join(parts)

    def _read(self, until: float) -> bytes:
        left = max(until - time.monotonic(), 0.0)
        if not select.select([self._answers], [], [], left)[0]:
            raise TimeoutError
        found = os.read(self._answers.fileno(), _READ_BYTES)
        if not found:
            raise EOFError
        return found


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise Busy(_NO_PROCESS)
    return process.stdin, process.stdout


def _job(wanted: Drawing) -> dict[str, Any]:
    return {
        "path": os.fspath(wanted.path),
        "frame": wanted.frame,
        "windows": [asdict(item) for item in wanted.asked.windows],
        "percentiles": wanted.asked.percentiles,
        "packed": wanted.packed,
        "preset": wanted.preset,
        "side": wanted.side,
        "fault": faults.armed(),
    }


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
