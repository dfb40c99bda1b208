"""Loading modules in less time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Load modules in the block without looking for garbage: they leave hardly any.

    What is loaded stays, and each full collection looks at all of it again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
