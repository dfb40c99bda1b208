"""The loops of a role, each in a thread of its own, until the role is asked to stop."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from dicom_node.stop import Stop


@dataclass(frozen=True, slots=True)
class Loop:
    """A named loop to run in a thread of its own.

    Args:
        ready: set once it has begun; whoever is asked to stop before does not wait
            for it. None: it begins at once.
    """

    name: str
    run: Callable[[], None]
    ready: threading.Event | None = None


def run_loops(loops: list[Loop], stop: Stop) -> bool:
    """Run the loops until asked to stop; each ends after the step it is in.

    Returns:
        False if a loop that was not ready yet is left behind, in its thread.
    """
    threads = [
        threading.Thread(target=loop.run, name=loop.name, daemon=True) for loop in loops
    ]
    for thread in threads:
        thread.start()
    # A timeout lets the main thread handle signals between waits.
    while not stop.wait(1.0):
        if not all(thread.is_alive() for thread in threads):
            stop.set()
    left = [_left_behind(*pair) for pair in zip(loops, threads, strict=True)]
    return not any(left)


def _left_behind(loop: Loop, thread: threading.Thread) -> bool:
    """Wait for the end of a loop, unless it has not begun."""
    if loop.ready is None or loop.ready.is_set():
        thread.join()
    return thread.is_alive()
