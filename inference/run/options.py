"""How models are run in a process."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from inference.pixels.layout import PixelLimits

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWish:
    """Which engine the settings ask for.

    Args:
        engine: "auto", "eager", "compile" or "openvino".
        precision: "auto", "fp32", "bf16" or "fp16".
        recommendations: what `models bench --keep` wrote, for engine "auto".
        threads: of the engine on the CPU; 0 leaves it to torch.
        batches: where a load keeps what it found out about batches, for the next.
    """

    engine: str = "auto"
    precision: str = "auto"
    recommendations: Path | None = None
    threads: int = 0
    batches: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What an executor runs on and how much it takes.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:1".
        max_batch_size: 0 leaves it to the card; otherwise the smaller of both.
        max_wait_ms: how long a frame waits for others to share its batch.
        memory_budget_bytes: of decoded frames and prepared tensors in flight.
        decode_threads: 0 is one per core, at most eight.
        limits: what an image may claim and how long its decoding may take.
        guard_folder: where processes note what is under decoding, so that an image
            that ends one does not end the next; None for no such guard.
    """

    device: str = "auto"
    wish: EngineWish = EngineWish()
    max_batch_size: int = 0
    max_wait_ms: float = 50.0
    memory_budget_bytes: int = 512 << 20
    decode_threads: int = 0
    limits: PixelLimits = field(default_factory=PixelLimits)
    guard_folder: Path | None = None

    @property
    def decoders(self) -> int:
        """How many threads read and decode."""
        return self.decode_threads or min(8, max(2, len(os.sched_getaffinity(0))))


def use_threads(number: int) -> None:
    """Give torch so many threads for what the calling thread computes.

    OpenMP keeps the number by thread. torch takes over a number of its own when a
    thread asks for the first time, so that is done before.
    """
    torch.get_num_threads()
    torch.set_num_threads(number)


def in_passing_thread(work: Callable[[], T]) -> T:
    """Call what computes in a thread that ends with it, and its OpenMP team with it.

    Each thread that computes has a team. With more threads in teams than cores, GNU
    OpenMP lets those who wait sleep at once: a fifth of the time, seen on two cores.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="load") as thread:
        return thread.submit(work).result()
