"""A data set of which the beginning is in memory and the rest can be mapped."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dicom_node.core.errors import CannotUnderstand


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A data set of which the beginning is in memory.

    Args:
        head: the first bytes; all of them if there are `size_bytes`.
        whole: gives read access to all of it, for as long as the context lasts; only
            asked when the head does not suffice.
    """

    head: bytes
    size_bytes: int
    whole: Callable[[], AbstractContextManager[memoryview]]

    @classmethod
    def of_bytes(cls, dataset: bytes) -> "DatasetView":
        """View a data set that is in memory."""
        return cls(dataset, len(dataset), lambda: memoryview(dataset))


class Source:
    """What a walk reads from: the head, and all of it once it asked for more.

    Attributes:
        data: the bytes from the start on; a slice of them may be a memoryview, which
            must not outlive the context.
        known: how many bytes of it there are.
    """

    __slots__ = ("_context", "_view", "data", "known", "size")

    def __init__(self, view: DatasetView) -> None:
        self._view = view
        self._context: AbstractContextManager[memoryview] | None = None
        self.size = view.size_bytes
        self.data: bytes | memoryview = view.head
        self.known = len(view.head)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._context is not None:
            if isinstance(self.data, memoryview):
                self.data.release()  # a mapping cannot be closed while one looks at it
            self._context.__exit__(kind, error, traceback)

    def reach_all(self) -> None:
        """Let `data` be the whole data set.

        Raises:
            CannotUnderstand: there is less of it than its size says.
        """
        if self.known == self.size:
            return
        context = self._view.whole()
        whole = context.__enter__()
        self._context = context
        self.data, self.known = memoryview(whole), len(whole)
        if self.known != self.size:
            raise CannotUnderstand("the data set is not as long as it was")
