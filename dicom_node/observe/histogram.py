"""A histogram among the numbers that processes share."""

from bisect import bisect_left
from collections.abc import Sequence

from dicom_node.observe.slots import Slot


class Histogram:
    """Where a histogram's numbers are in a slot; the caller holds its lock.

    Args:
        bounds: upper bounds of the buckets, without the last one, which has none.
    """

    def __init__(self, slot: Slot, name: str, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._buckets = [slot.counter(name, "le", f"{bound:g}") for bound in bounds]
        self._buckets.append(slot.counter(name, "le", "+Inf"))
        self._sum = slot.counter(name + "_sum")

    def observe(self, values: "memoryview[float]", amount: float) -> None:
        """Count one observation; the buckets are not cumulative here."""
        values[self._buckets[bisect_left(self._bounds, amount)]] += 1
        values[self._sum] += max(0.0, amount)
