"""A fixed number of bytes that frames in flight share, first come, first served."""

from collections import deque
from collections.abc import Sequence
from threading import Condition


class ByteBudget:
    """Counts the bytes of what is decoded and not yet scored."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = max(limit_bytes, 1)
        self._used = 0
        self._queue: deque[object] = deque()
        self._changed = Condition()

    def reserve(self, size_bytes: int) -> "Reservation":
        """Wait until so many bytes are free, behind all that asked before.

        A frame larger than the whole budget is let in when nothing else is in flight.
        """
        size = min(size_bytes, self._limit)
        turn = object()
        with self._changed:
            self._queue.append(turn)
            self._changed.wait_for(
                lambda: self._queue[0] is turn and self._used + size <= self._limit
            )
            self._queue.popleft()
            self._used += size
            if self._queue:
                self._changed.notify_all()
        return Reservation(self, size)

    @property
    def limit_bytes(self) -> int:
        """Bytes that there are."""
        return self._limit

    @property
    def used_bytes(self) -> int:
        """Bytes that are reserved now."""
        with self._changed:
            return self._used

    def give_back(self, size_bytes: int) -> None:
        """Free bytes; called by a reservation."""
        with self._changed:
            self._used -= size_bytes
            if self._queue:
                self._changed.notify_all()


class Reservation:
    """Bytes of the budget that one piece of work holds."""

    def __init__(self, budget: ByteBudget, size_bytes: int) -> None:
        self._budget, self._size = budget, size_bytes

    def shrink(self, size_bytes: int) -> None:
        """Keep so many bytes and give the others back; never more than there were."""
        kept = min(size_bytes, self._size)
        freed, self._size = self._size - kept, kept
        if freed:
            self._budget.give_back(freed)

    def share(self, sizes_bytes: Sequence[int]) -> "tuple[Reservation, ...]":
        """Keep so many bytes for each of several pieces, as far as there are so many.

        This one holds nothing any more.
        """
        self.shrink(sum(sizes_bytes))
        shares = []
        for size in sizes_bytes:
            kept = min(size, self._size)
            self._size -= kept
            shares.append(Reservation(self._budget, kept))
        return tuple(shares)

    def release(self) -> None:
        """Give all back; nothing happens the second time."""
        self.shrink(0)
