"""torch as it is, in full or in half precision; compiled where that is asked for."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

from dicom_node.core.errors import BundleError
from inference.run.engines.engine import (
    EngineSpec,
    EngineUnavailable,
    run_in_parts,
)
from inference.run.engines.steady import Batch, mend, run_apart

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class EagerEngine:
    """The network itself. On CUDA lower precision is autocast, on the CPU a cast.

    On the CPU a score has the same bits whatever else is in its batch: see
    `_SteadyLinear`.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, *, precision: str = "fp32"
    ) -> None:
        """Bring the network onto the device; it is changed."""
        self.spec = EngineSpec("eager", precision)
        self._device = device
        self._type = _TYPES.get(precision)
        self._network = network.to(device)
        self._batch = Batch()
        self._sizes: tuple[int, ...] = ()
        if device.type == "cpu":
            _keep_steady(network)
            if self._type is not None:
                self._network = network.to(self._type)

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, on the device, not waited for."""
        if not self._sizes:
            return self._run(images)
        return run_in_parts(self._run, images, self._sizes)

    def _run(self, images: torch.Tensor) -> torch.Tensor:
        self._batch.images = len(images)
        moved = images.to(self._device, non_blocking=True)
        if self._device.type == "cpu" and self._type is not None:
            moved = moved.to(self._type)
        with torch.inference_mode(), self._autocast():
            output: Any = self._network(moved)
        if not isinstance(output, torch.Tensor):
            raise BundleError("the architecture does not give one score per class")
        return output.to(torch.float32)

    def mend(self, images: torch.Tensor) -> tuple[int, ...]:
        """Run layers image by image whose bits depend on the batch.

        Returns:
            The sizes that batches are cut to from then on, the largest first.
        """
        self._sizes = mend(self._network, self._run, images, self._batch)
        return self._sizes

    @property
    def apart(self) -> tuple[str, ...]:
        """Name the layers that run image by image."""
        return tuple(self._batch.apart)

    def keep_to(self, sizes: tuple[int, ...], apart: Sequence[str] = ()) -> None:
        """Cut batches to sizes and run layers image by image, as `mend` once said.

        Raises:
            AttributeError: the network has no layer of a name.
        """
        run_apart(self._network, apart, self._batch)
        self._sizes = sizes

    def _autocast(self) -> AbstractContextManager[object]:
        if self._device.type != "cuda" or self._type is None:
            return nullcontext()
        return torch.autocast("cuda", dtype=self._type)


class CompiledEngine:
    """The network through torch.compile, for batches of any size."""

    def __init__(
        self, network: nn.Module, device: torch.device, *, precision: str, try_on: Any
    ) -> None:
        """Compile now rather than with the first study.

        Args:
            try_on: a batch of at least two images.

        Raises:
            EngineUnavailable: there is no compiler, or it cannot compile this.
        """
        self.spec = EngineSpec("compile", precision)
        eager = EagerEngine(network, device, precision=precision)
        # Typed `Any`: torch declares what it returns by what it was given.
        compiled: Any = torch.compile(eager._network, dynamic=True)
        eager._network = compiled
        self._eager = eager
        try:
            for size in (len(try_on), 1):
                self._eager.run(try_on[:size])
        except Exception as error:
            raise EngineUnavailable(
                f"torch.compile failed ({type(error).__name__}): it needs a C++ "
                "compiler on this machine"
            ) from error

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, on the device, not waited for."""
        return self._eager.run(images)


class _SteadyLinear(nn.Linear):
    """Computes one row as two, and one output as two.

    A matrix times a vector goes through other kernels than two matrices, which round
    by how many rows there are and where one stands: the score of an image would
    depend on what else was in its batch.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Apply the layer."""
        weight: torch.Tensor = self.weight
        bias: torch.Tensor | None = self.bias
        if self.out_features == 1:
            weight = weight.expand(2, -1)
            bias = None if bias is None else bias.expand(2)
        rows = input
        if input.numel() == input.shape[-1]:
            rows = input.reshape(1, -1).expand(2, -1)
        output = linear(rows, weight, bias)[..., : self.out_features]
        if rows is input:
            return output
        return output[:1].reshape(*input.shape[:-1], -1)


def _keep_steady(network: nn.Module) -> None:
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = _SteadyLinear
