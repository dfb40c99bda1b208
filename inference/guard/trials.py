"""Try images of a study one after the other, in processes that may die of them."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from dicom_node.core.errors import InferenceError
from inference.api import InputSpec
from inference.guard.trial import DONE, FRAME, NO_MEMORY, OPENED, READY, REFUSED
from inference.pixels import faults
from inference.pixels.layout import PixelLimits

_START_SECONDS: Final = 60.0  # of an interpreter, on a busy machine
_READ_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image and the numbers of its frames that the model wants."""

    path: Path
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an image that was tried.

    Args:
        refused: why it must not be decoded; "" if it may.
        is_deadly: it would have ended the process, or held it up.
    """

    refused: str = ""
    is_deadly: bool = False


class Trials:
    """Tries images as a model card wants them decoded."""

    def __init__(self, limits: PixelLimits, *, spec: InputSpec) -> None:
        self._limits = limits
        self._spec = spec

    def run(self, candidates: Sequence[Candidate]) -> dict[Path, Verdict]:
        """Return what became of each; a process that died is followed by another.

        Raises:
            InferenceError: no process can be started now; retryable.
        """
        found: dict[Path, Verdict] = {}
        left = list(candidates)
        while left:
            verdicts = self._run(left)
            found.update(
                (item.path, verdict)
                for item, verdict in zip(left, verdicts, strict=False)
            )
            left = left[len(verdicts) :]
        return found

    def _run(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """Try images until one ends the process; return at least one verdict."""
        process = subprocess.Popen(
            [sys.executable, "-m", "inference.guard.trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:  # which closes the pipes and waits
            try:
                if process.stdin is None or process.stdout is None:
                    raise _no_process()
                lines = _Lines(process.stdout.fileno())
                with suppress(BrokenPipeError), process.stdin as job:
                    job.write(json.dumps(self._job(candidates)).encode())
                if lines.next(_START_SECONDS) != READY:
                    raise _no_process()
                return self._follow(process, lines, len(candidates))
            except TimeoutError:
                raise _no_process() from None
            finally:
                process.kill()

    def _job(self, candidates: Sequence[Candidate]) -> Mapping[str, Any]:
        spec = self._spec
        reduced = {"size": spec.size, "resize": spec.resize}
        return {
            "fault": faults.armed(),
            "limits": asdict(self._limits),
            "reduced": reduced if spec.reduced_decode else None,
            "images": [
                {"path": os.fspath(item.path), "frames": item.frames}
                for item in candidates
            ],
        }

    def _follow(
        self, process: subprocess.Popen[bytes], lines: "_Lines", count: int
    ) -> list[Verdict]:
        verdicts: list[Verdict] = []
        codec, seconds = "", self._limits.frame_seconds
        while len(verdicts) < count:
            try:
                line = lines.next(seconds)
            except TimeoutError:
                text = f"{codec}decoding did not end within {seconds:g} s"
                return [*verdicts, Verdict(refused=text, is_deadly=True)]
            word, _, rest = line.partition(" ")
            if word == OPENED:
                codec = f"{rest}: "
            elif word == DONE:
                verdicts.append(Verdict())
            elif word == REFUSED:
                verdicts.append(Verdict(refused=rest))
            elif word == NO_MEMORY:
                text = f"{codec}decoding needs more memory than max_frame_bytes allows"
                verdicts.append(Verdict(refused=text, is_deadly=True))
            elif word != FRAME:
                text = f"{codec}decoding ended the process ({_ending(process)})"
                return [*verdicts, Verdict(refused=text, is_deadly=True)]
            if word in (DONE, REFUSED, NO_MEMORY):
                codec = ""
        return verdicts


class _Lines:
    """Lines of a pipe, each waited for only so long."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def next(self, seconds: float) -> str:
        """Return a line without its end; "" once there are no more.

        Raises:
            TimeoutError: none came in time.
        """
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = max(until - time.monotonic(), 0.0)
            if not select.select([self._descriptor], [], [], left)[0]:
                raise TimeoutError
            more = os.read(self._descriptor, _READ_BYTES)
            if not more:
                return ""
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")


def _no_process() -> InferenceError:
    return InferenceError(
        "no process can be started to try images apart", retryable=True
    )


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
