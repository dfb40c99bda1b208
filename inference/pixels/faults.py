"""Ways in which a test may let a decoder go wrong, at images of so many rows."""

import ctypes
import os
import re
import signal
import threading
from typing import Final

PREFIX: Final = "decode-"
POINTS: Final = frozenset(
    {"decode-kill", "decode-crash", "decode-hold", "decode-wait", "decode-hoard"}
)
_HOARD_BYTES: Final = 1 << 40

_armed: tuple[str, int] | None = None


def arm(fault: str) -> None:
    """Go wrong at every frame of an image with so many rows; "decode-hold:37".

    kill: SIGKILL. crash: SIGSEGV. hold: never end, and let no other thread run.
    wait: never end. hoard: ask for a tebibyte.

    Raises:
        ValueError: there is no such point.
    """
    global _armed
    point, _, rows = fault.partition(":")
    if point not in POINTS or not rows.isdecimal():
        raise ValueError(f"there is no point '{point}': {', '.join(sorted(POINTS))}")
    _armed = point, int(rows)


def armed() -> str:
    """Return what was armed, for a process of one's own; "" if nothing was."""
    return "{}:{}".format(*_armed) if _armed else ""


def pass_frame(rows: int) -> None:
    """Do nothing, unless a test armed this number of rows."""
    if _armed is None or _armed[1] != rows:
        return
    match _armed[0]:
        case "decode-kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "decode-crash":
            ctypes.string_at(0)
        case "decode-hold":
            re.fullmatch("(a+)+b", "a" * 99)
        case "decode-wait":
            threading.Event().wait()
        case _:
            bytearray(_HOARD_BYTES)
