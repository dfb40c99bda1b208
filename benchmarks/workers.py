"""Processes that decode, each on a core of its own."""

import multiprocessing
import os
from collections.abc import Sequence
from itertools import cycle
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

from inference.pixels.decode import decode_frame
from inference.pixels.read import open_image


class Decoders:
    """One process for each core; each decodes the same files."""

    def __init__(self, paths: Sequence[Path], cores: Sequence[int]) -> None:
        self._paths, self._cores = list(paths), list(cores)
        self._workers: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for core in self._cores:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, self._paths, core), daemon=True
            )
            process.start()
            theirs.close()
            self._workers.append((process, ours))
        return self

    def __exit__(self, *_: object) -> None:
        for process, pipe in self._workers:
            pipe.close()
            process.join(5)
            process.kill()
            process.join()

    def decode(self, images: int, *, processes: int) -> int:
        """Have so many processes decode so many images each; return all images."""
        chosen = self._workers[:processes]
        for _, pipe in chosen:
            pipe.send(images)
        return sum(pipe.recv() for _, pipe in chosen)


def _serve(pipe: Connection, paths: Sequence[Path], core: int) -> None:
    os.sched_setaffinity(0, {core})
    turn = cycle(paths)
    while True:
        try:
            images: int = pipe.recv()
        except (EOFError, OSError):
            return
        for _ in range(images):
            decode_frame(open_image(next(turn)), 0)
        pipe.send(images)
