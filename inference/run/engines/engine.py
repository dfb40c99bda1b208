"""What runs a network, and which of them this machine has."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch

_ALIGNMENT: Final = 64  # bytes, of memory that torch allocates
_CPU_BF16: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine by name, "eager", "compile" or "openvino", and its precision."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


REFERENCE: Final = EngineSpec("eager", "fp32")


class EngineUnavailable(Exception):
    """The engine cannot run this network here; the text says why."""


class Engine(Protocol):
    """Runs a network on batches."""

    @property
    def spec(self) -> EngineSpec:
        """Which engine in which precision."""

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, (images, classes) in float32, where they come up.

        Args:
            images: (images, channels, rows, columns), float32, on any device.
        """


@dataclass(frozen=True, slots=True)
class InParts:
    """An engine whose batches are cut to some sizes, the largest first, down to 1."""

    engine: Engine
    sizes: tuple[int, ...]

    @property
    def spec(self) -> EngineSpec:
        """Which engine in which precision."""
        return self.engine.spec

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, (images, classes)."""
        return run_in_parts(self.engine.run, images, self.sizes)


def run_in_parts(
    run: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    sizes: Sequence[int],
) -> torch.Tensor:
    """Run a batch in parts of the given sizes, the largest first, down to 1."""
    if len(images) in sizes:
        return run(images)
    return torch.cat([run(aligned(part)) for part in _cut(images, sizes)])


def _cut(images: torch.Tensor, sizes: Sequence[int]) -> Iterator[torch.Tensor]:
    while len(images):
        size = next(size for size in sizes if size <= len(images))
        yield images[:size]
        images = images[size:]


def aligned(values: torch.Tensor) -> torch.Tensor:
    """Return the values where a tensor of their own would begin.

    The matrix kernels of MKL round by the address as well.
    """
    return values.clone() if values.data_ptr() % _ALIGNMENT else values


def has_bf16_instructions(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether the processor multiplies bfloat16; emulated it is slower."""
    try:
        lines = cpu_info.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    named = (line.partition(":") for line in lines)
    words = {
        word
        for name, _, values in named
        if name.strip() in ("flags", "Features")
        for word in values.split()
    }
    return not _CPU_BF16.isdisjoint(words)


def has_openvino() -> bool:
    """Say whether the extra `openvino` is installed."""
    return importlib.util.find_spec("openvino") is not None


def engines_here(device: torch.device) -> tuple[EngineSpec, ...]:
    """Name what can be tried on this machine, the reference first."""
    if device.type == "cuda":
        lower = ["bf16"] if torch.cuda.is_bf16_supported() else []
        precisions = ["fp32", *lower, "fp16"]
        return tuple(
            EngineSpec(engine, precision)
            for engine in ("eager", "compile")
            for precision in precisions
        )
    precisions = ["fp32", *(["bf16"] if has_bf16_instructions() else [])]
    engines = ["eager", "compile", *(["openvino"] if has_openvino() else [])]
    return tuple(EngineSpec(name, item) for name in engines for item in precisions)
