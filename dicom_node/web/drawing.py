"""Draw frames in a process of its own, which may die of one.

python -m dicom_node.web.drawing    a job as a line of JSON in; out a line that says
how many bytes follow, or what is wrong
"""

import gzip
import json
import logging
import select
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

from dicom_node.core.errors import PixelError
from dicom_node.web.picture_presets import Asked
from dicom_node.web.pictures import LIMITS, draw_picture, pack_picture, read_picture
from inference.api import Window
from inference.guard.bounds import bound_process
from inference.pixels import faults

READY: Final = b"ready\n"
NO_MEMORY: Final = "decoding needs more memory than a page may take"
_IDLE_SECONDS: Final = 120.0
# Of one frame: stored values, a codec's copies, modality values, levels.
_COPIES: Final = 10
# Should whoever listens be gone, the kernel ends a decoder that does not.
_ALONE_SECONDS: Final = 90.0


def main() -> int:
    """Draw until nobody asks any more."""
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr  # what others write must not be taken for an answer
    logging.disable(logging.CRITICAL)
    bound_process(LIMITS, copies=_COPIES)
    answers.write(READY)
    answers.flush()
    while line := _next_line(sys.stdin.buffer):
        signal.setitimer(signal.ITIMER_REAL, _ALONE_SECONDS)
        _answer(json.loads(line), answers)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _next_line(jobs: BinaryIO) -> bytes:
    """Wait for a job; b"" once nobody asks. One job comes at a time."""
    waiting, _, _ = select.select([jobs], [], [], _IDLE_SECONDS)
    return jobs.readline() if waiting else b""


def _answer(job: dict[str, Any], answers: BinaryIO) -> None:
    content, error = b"", ""
    try:
        content = _draw(job)
    except PixelError as fault:
        error = str(fault)
    except MemoryError:
        error = NO_MEMORY
    except Exception as fault:  # noqa: BLE001 - a bad image fails alone
        error = f"the image cannot be decoded ({type(fault).__name__})"
    about = {"size": len(content), "error": error}
    answers.write(json.dumps(about).encode() + b"\n" + content)
    answers.flush()


def _draw(job: dict[str, Any]) -> bytes:
    if job["fault"]:
        faults.arm(job["fault"])
    asked = Asked(
        windows=tuple(Window(**item) for item in job["windows"]),
        percentiles=tuple(job["percentiles"]) if job["percentiles"] else None,
    )
    picture = read_picture(Path(job["path"]), job["frame"], asked)
    if job["packed"]:
        return gzip.compress(pack_picture(picture), compresslevel=1)
    return draw_picture(picture, preset=job["preset"], side=job["side"])


if __name__ == "__main__":
    sys.exit(main())
