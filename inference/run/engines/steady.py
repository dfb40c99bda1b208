"""Batches that give each image the bits that it gets alone.

On the CPU some layers round by how many images they are given: convolutions and
matrix products choose other kernels, and the last few values of a tensor go another
way than those that fill a vector. The smallest parts of a network that do so are
found once, when it is loaded, and are run image by image; all the rest in batches.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import thread_time
from typing import Any, Final

import torch
from torch import nn

from inference.run.engines.engine import aligned

# Where layers round by the batch, batches are cut to those of these sizes on which
# that was mended, and to single images.
SIZES: Final = (2, 4, 8)
# Of the loading thread's own time, which other programs do not take from it; batches
# stay smaller where it takes longer.
SECONDS: Final = 15.0
_NOISE: Final = 1 << 14  # values
_VECTORS: Final = 64  # values that the processor takes in one step, at the most
_CLOSE: Final = 1e-3  # relative; more is another computation, not another rounding

Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(slots=True)
class Batch:
    """How many images the network is running at the moment, and what runs them apart.

    Args:
        apart: names of the modules that are run image by image.
    """

    images: int = 1
    apart: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Search:
    """The smallest modules that round by the batch, found while the network runs."""

    batch: Batch
    found: dict[int, nn.Module] = field(default_factory=dict)
    inputs: dict[int, torch.Tensor] = field(default_factory=dict)
    is_comparing: bool = False

    def before(
        self, module: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]
    ) -> None:
        """Keep the input: some layers overwrite theirs."""
        if not self.is_comparing and not named and self._is_ours(given):
            self.inputs[id(module)] = given[0].clone()

    def after(
        self,
        module: nn.Module,
        given: tuple[Any, ...],
        named: Mapping[str, Any],
        output: Any,
    ) -> None:
        """Compare with the same images one after the other."""
        if self.is_comparing:
            return
        kept = self.inputs.pop(id(module), None)
        if kept is None or not isinstance(output, torch.Tensor):
            return
        if any(id(inner) in self.found for inner in module.modules()):
            return
        self.is_comparing = True
        try:
            if any(
                self._differs(module, *pair)
                for pair in self._pairs(module, kept, output)
            ):
                self.found[id(module)] = module
        except (RuntimeError, TypeError, ValueError, AssertionError):
            return  # it cannot run on a part of its batch: it stays as it is
        finally:
            self.is_comparing = False

    def _differs(
        self, module: nn.Module, values: torch.Tensor, output: torch.Tensor
    ) -> bool:
        alone = _apart(module.forward, values, self.batch)
        if alone.shape != output.shape or torch.equal(alone, output):
            return False
        scale = float(output.abs().max())
        return torch.allclose(alone, output, rtol=_CLOSE, atol=_CLOSE * scale)

    def _pairs(
        self, module: nn.Module, kept: torch.Tensor, output: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield inputs and outputs of a module to compare.

        An activation rounds the last values of a tensor by other code than those that
        fill vectors, which shows in one of some hundred: noise is tried as well.
        """
        yield kept, output
        is_activation = not list(module.parameters()) and not list(module.children())
        has_rest = kept.numel() // self.batch.images % _VECTORS
        if is_activation and has_rest and kept.is_floating_point():
            noise = torch.Generator().manual_seed(0)
            for _ in range(max(1, _NOISE // kept.numel())):
                values = 3 * torch.randn(kept.shape, generator=noise).to(kept)
                yield values, module.forward(values.clone())

    def _is_ours(self, given: tuple[Any, ...]) -> bool:
        return (
            len(given) == 1
            and isinstance(given[0], torch.Tensor)
            and given[0].ndim > 1
            and given[0].shape[0] % self.batch.images == 0
        )


def _apart(forward: Run, values: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Run what belongs to each image for itself, as if it were alone."""
    number = batch.images
    batch.images = 1
    try:
        parts = torch.split(values, values.shape[0] // number)
        return torch.cat([forward(aligned(part)) for part in parts])
    finally:
        batch.images = number


def mend(
    network: nn.Module, run: Run, images: torch.Tensor, batch: Batch
) -> tuple[int, ...]:
    """Run those modules image by image that round by the size of the batch.

    All values inside of the network are compared: a score is a few numbers, in which
    a difference may not show, with these images.

    Args:
        run: of the engine; it runs the network and keeps `batch`.
        images: as many as the largest of `SIZES`, each another.

    Returns:
        The sizes of batches that then give the bits of single images, the largest
        first; (1,) where no larger ones do.
    """
    alone = torch.cat([run(aligned(image[None])) for image in images])
    leaves = [item for item in network.modules() if not list(item.children())]
    inner = [item for item in network.modules() if item is not network]
    steady, mended = [1], set[int]()
    end = thread_time() + SECONDS
    for size in SIZES:
        if thread_time() > end:
            break
        some = images[:size]
        # To look into all of them takes several times as long.
        for modules in (leaves, inner) if size == SIZES[-1] else (leaves,):
            _mend_some(modules, partial(run, some), batch, mended)
        if not torch.equal(run(some), alone[:size]):
            _mend_some(inner, partial(run, some), batch, mended)
        if not torch.equal(run(some), alone[:size]):
            break
        steady.insert(0, size)
    names = {id(module): name for name, module in network.named_modules()}
    batch.apart[:] = [names[key] for key in mended]
    return tuple(steady)


def run_apart(network: nn.Module, names: Sequence[str], batch: Batch) -> None:
    """Run modules image by image, as `mend` found them before.

    Raises:
        AttributeError: the network has no module of a name.
    """
    for module in [network.get_submodule(name) for name in names]:
        _run_apart(module, batch)
    batch.apart[:] = names


def _mend_some(
    modules: Sequence[nn.Module],
    run: Callable[[], object],
    batch: Batch,
    mended: set[int],
) -> None:
    """Mend what rounds by the batch among some modules, as long as there is more."""
    while True:
        search = _Search(batch)
        with _watched(modules, search):
            run()
        found = search.found.keys() - mended
        if not found:
            return
        for key in found:
            _run_apart(search.found[key], batch)
        mended |= found


@contextmanager
def _watched(modules: Sequence[nn.Module], search: _Search) -> Iterator[None]:
    handles = [
        handle
        for module in modules
        for handle in (
            module.register_forward_pre_hook(search.before, with_kwargs=True),
            module.register_forward_hook(search.after, with_kwargs=True),
        )
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run_apart(module: nn.Module, batch: Batch) -> None:
    forward = module.forward

    def image_by_image(*given: Any, **named: Any) -> Any:
        number = batch.images
        if number == 1 or len(given) != 1 or named or given[0].shape[0] % number:
            return forward(*given, **named)
        return _apart(forward, given[0], batch)

    module.forward = image_by_image
