"""The two senders: pre-encoded PDUs at no cost, and dcmtk's storescu as it comes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.blaster import Sent, Task
from benchmarks.processes import BenchmarkError
from benchmarks.receivers import AE_TITLE
from tests.peers import PROJECT, find_tool

_LONGEST_SECONDS: Final = 600.0
_WATCH_SECONDS: Final = 0.02


def blast(task: Task, watch: Callable[[], None] | None = None) -> Sent:
    """Run the blaster in a process of its own.

    Args:
        watch: called again and again meanwhile; it takes time from what is measured.

    Raises:
        BenchmarkError: an image was not answered with 0x0000; says with what.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.blaster"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    ) as process:
        try:
            if watch is not None and process.stdin is not None:
                process.stdin.write(json.dumps(asdict(task)))
                process.stdin.close()
                process.stdin = None
                while process.poll() is None:
                    watch()
                    time.sleep(_WATCH_SECONDS)
            told = json.dumps(asdict(task)) if watch is None else None
            said, complained = process.communicate(told, timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchmarkError("the receiver did not answer in time") from None
        finally:
            process.kill()
    if process.returncode != 0:
        raise BenchmarkError(complained.strip()[-300:] or "the sender died")
    return Sent(**json.loads(said))


def storescu(port: int, folder: Path, images: int) -> Sent:
    """Send a folder with dcmtk's storescu and nothing in its environment.

    Raises:
        BenchmarkError: it did not send all.
    """
    variables = {key: value for key, value in os.environ.items() if key[:4] != "TCP_"}
    program = str(find_tool("storescu"))
    begun = time.monotonic()
    ended = subprocess.run(
        [program, "-aec", AE_TITLE, "+sd", "127.0.0.1", str(port), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=variables,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    seconds = time.monotonic() - begun
    if ended.returncode != 0:
        said = ended.stdout.decode(errors="replace").strip()[-300:]
        raise BenchmarkError(f"storescu failed: {said}")
    return Sent(images=images, seconds=seconds)
