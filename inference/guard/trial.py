"""Decode images in a process of its own, which may die of it.

python -m inference.guard.trial    a job as JSON in, a line for each step out
"""

import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from dicom_node.core.errors import PixelError
from inference.api import InputSpec
from inference.guard.bounds import bound_process
from inference.pixels import faults
from inference.pixels.decode import decode_frame
from inference.pixels.layout import PixelLimits
from inference.pixels.read import FrameSource, name_transfer_syntax, open_image

READY: Final = "ready"
OPENED: Final = "opened"  # and the name of the transfer syntax
FRAME: Final = "frame"
DONE: Final = "done"
NO_MEMORY: Final = "memory"
REFUSED: Final = "refused"  # and why

# Of one frame: stored values, a plugin's copy, two for codecs that work in 32 bits.
_COPIES: Final = 4
_ALONE: Final = 4  # limits of a frame, after which nobody can be listening

Say = Callable[..., None]


def main() -> int:
    """Try the images of the job on standard input."""
    job: dict[str, Any] = json.load(sys.stdin)
    # What others write must not be taken for an answer.
    answers = sys.stdout
    sys.stdout = sys.stderr
    logging.disable(logging.CRITICAL)
    if fault := job["fault"]:
        faults.arm(fault)
    limits = PixelLimits(**job["limits"])
    decode = _decoder(job["reduced"])
    bound_process(limits, copies=_COPIES)

    def say(*words: object) -> None:
        # Should whoever listens be gone, the kernel ends a decoder that does not.
        signal.setitimer(signal.ITIMER_REAL, _ALONE * limits.frame_seconds)
        print(*words, file=answers, flush=True)

    say(READY)
    for image in job["images"]:
        _try(image, limits, decode, say)
    return 0


def _decoder(reduced: Mapping[str, Any] | None) -> Callable[[FrameSource, int], object]:
    """Return what decodes a frame the way the model card wants it."""
    if reduced is None:
        return decode_frame
    from inference.pixels.reduced import decode_reduced  # brings torch

    rows, columns = reduced["size"]
    spec = InputSpec(
        size=(rows, columns), resize=reduced["resize"], reduced_decode=True
    )

    def decode(source: FrameSource, index: int) -> object:
        found = decode_reduced(source, index, spec)
        return found if found is not None else decode_frame(source, index)

    return decode


def _try(
    image: Mapping[str, Any],
    limits: PixelLimits,
    decode: Callable[[FrameSource, int], object],
    say: Say,
) -> None:
    try:
        source = open_image(Path(image["path"]), limits=limits)
        say(OPENED, name_transfer_syntax(source.transfer_syntax_uid))
        for number in image["frames"]:
            if number <= source.number_of_frames:
                decode(source, number - 1)
            say(FRAME)
    except MemoryError:
        say(NO_MEMORY)
        return
    except PixelError as error:
        say(REFUSED, error)
        return
    except Exception as error:  # noqa: BLE001 - a bad image fails alone
        say(REFUSED, f"the image cannot be decoded ({type(error).__name__})")
        return
    say(DONE)


if __name__ == "__main__":
    sys.exit(main())
