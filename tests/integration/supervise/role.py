"""A role that does as its test says."""

import os
import signal
import time
from pathlib import Path


def main(role: str, folder: Path) -> int:
    """Play the role in the mode of the file ROLE.mode."""
    mode = (folder / f"{role}.mode").read_text()

    def say(word: str) -> None:
        with (folder / "events").open("a") as events:
            events.write(f"{role} {word} {os.getpid()}\n")

    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    signal.signal(signal.SIGHUP, lambda *_: say("reloads"))
    say("starts")
    if mode == "refuses":
        return 2
    if mode == "fails":
        (folder / f"{role}.mode").write_text("works")
        raise ValueError("DOE^JANE")
    if mode == "dies":
        (folder / f"{role}.mode").write_text("works")
        return 3
    if mode != "dumb":
        print("listening 127.0.0.1:4711", flush=True)
    if mode == "stuck":
        (folder / f"{role}.mode").write_text("works")
        from dicom_node.observe.slots import Slot  # the other modes start faster

        Slot(folder / "metrics", role).beat()
    while mode == "stubborn" or not stopped:
        time.sleep(0.02)
    say("ends")
    return 0
