"""One delivery at a time to each destination, whatever the others do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dicom_node.core.types import Delivery


class Lanes:
    """Shared by the threads that deliver.

    There is a thread for each destination, so one that hangs, with any number of
    deliveries waiting for it, never has the thread of another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[str] = set()

    @contextmanager
    def turn(
        self, claim: Callable[[frozenset[str]], Delivery | None]
    ) -> Iterator[Delivery | None]:
        """Claim a delivery to a destination that has none in hand; hold its lane.

        Args:
            claim: takes one to any destination but these.
        """
        with self._lock:
            delivery = claim(frozenset(self._taken))
            if delivery is not None:
                self._taken.add(delivery.destination)
        try:
            yield delivery
        finally:
            if delivery is not None:
                with self._lock:
                    self._taken.discard(delivery.destination)
