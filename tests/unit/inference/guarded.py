"""A process that decodes a study under guard, for tests that let it die.

python -m tests.unit.inference.guarded FOLDER FAULT SECONDS IMAGE...
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inference.api import InputSpec
from inference.guard.guard import DecodeGuard
from inference.guard.trials import Candidate
from inference.pixels import faults
from inference.pixels.decode import decode_frame
from inference.pixels.layout import PixelLimits
from inference.pixels.read import open_image


def main() -> None:
    """Print which images were refused, with the reason, and which decoded."""
    folder, fault, seconds, *names = sys.argv[1:]
    if fault:
        faults.arm(fault)
    limits = PixelLimits(frame_seconds=float(seconds), frame_bytes=64 << 20)
    guard = DecodeGuard(Path(folder), limits)
    images = [Candidate(path=Path(name), frames=(1,)) for name in names]

    def decode(image: Candidate) -> str:
        with guard.frame(image.path):
            decode_frame(open_image(image.path, limits=limits), 0)
        return image.path.name

    with guard.study(images, InputSpec(size=(8, 8))) as refused:
        kept = [image for image in images if image.path not in refused]
        with ThreadPoolExecutor(3) as threads:
            decoded = list(threads.map(decode, kept))
    guard.close()
    reasons = {path.name: reason for path, reason in refused.items()}
    print(json.dumps({"refused": reasons, "decoded": decoded}))


if __name__ == "__main__":
    main()
