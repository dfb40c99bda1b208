"""What a process may take that decodes other people's frames."""

import resource
from pathlib import Path

from inference.pixels.layout import PixelLimits


def bound_process(limits: PixelLimits, *, copies: int) -> None:
    """Take no more memory than decoding may need, and leave no core behind.

    A core file would hold pixels.

    Args:
        copies: of a frame that are in memory at once.
    """
    used = int(Path("/proc/self/statm").read_text().split()[0])
    most = used * resource.getpagesize() + limits.inflated_bytes
    most += copies * limits.frame_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
