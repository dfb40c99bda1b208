"""In which batches an engine gives each image the bits that it gets alone."""

from dataclasses import dataclass
from time import thread_time
from typing import Final

import torch

from inference.run.engines.eager import EagerEngine
from inference.run.engines.engine import Engine, InParts, aligned
from inference.run.engines.steady import SECONDS
from inference.run.engines.steady import SIZES as MENDED_SIZES

# A processor gains nothing from more.
SIZES: Final = (*MENDED_SIZES, 16)


@dataclass(frozen=True, slots=True)
class Batches:
    """How batches are run so that each image keeps its bits.

    Args:
        sizes: what they are cut to, the largest first, down to 1; () where no size
            keeps the bits: images run alone.
        apart: the layers that run image by image within them.
    """

    sizes: tuple[int, ...]
    apart: tuple[str, ...] = ()


def find_batches(engine: Engine, images: torch.Tensor, *, largest: int) -> Batches:
    """Find the sizes of batches that keep bits; layers may be mended for it.

    Args:
        images: eight, each another.
        largest: of how many images batches are made.
    """
    sizes = _steady_sizes(engine, images, largest)
    if sizes[0] >= max(size for size in (1, *MENDED_SIZES) if size <= largest):
        return Batches(sizes)
    if isinstance(engine, EagerEngine):
        sizes = engine.mend(images)
        if len(sizes) > 1 and _steady_sizes(engine, images, sizes[0]) == sizes:
            return Batches(sizes, engine.apart)
    return Batches(())


def apply_batches(engine: Engine, batches: Batches) -> Engine:
    """Return the engine with its batches run in this way; it may be changed.

    Raises:
        AttributeError: they are of another network.
    """
    if isinstance(engine, EagerEngine):
        engine.keep_to(batches.sizes, batches.apart)
        return engine
    return InParts(engine, batches.sizes) if batches.sizes else engine


def _steady_sizes(
    engine: Engine, images: torch.Tensor, largest: int
) -> tuple[int, ...]:
    """Return the sizes up to the first that rounds otherwise, the largest first."""
    alone = torch.cat([engine.run(aligned(image[None])) for image in images])
    images, alone = (torch.cat([part] * 2) for part in (images, alone))
    steady = [1]
    end = thread_time() + SECONDS
    for size in SIZES:
        if size > largest or (size > MENDED_SIZES[-1] and thread_time() > end):
            break
        if not torch.equal(engine.run(images[:size]), alone[:size]):
            break
        steady.insert(0, size)
    return tuple(steady)
