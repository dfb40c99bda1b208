"""Files of which nobody knows whether they have a row."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from dicom_node.core.errors import DatabaseError, NodeError

log = logging.getLogger("dicom_node.receive")


class PublishedFiles(Protocol):
    """The folder that parts are published in."""

    def sync_names(self, keys: Sequence[str]) -> None:
        """Put the names of published files on stable storage."""

    def delete(self, key: str) -> None:
        """Remove a published file."""

    def unused(self, key: str) -> AbstractContextManager[bool]:
        """Keep others off a published file; give False if one has it, or it is gone."""


class Doubts:
    """What commits left in doubt when the database failed in the middle.

    Args:
        recorded_keys: says which of these keys have a row.
    """

    def __init__(
        self,
        files: PublishedFiles,
        recorded_keys: Callable[[Sequence[str]], frozenset[str]],
    ) -> None:
        self._files = files
        self._recorded_keys = recorded_keys
        self._lock = threading.Lock()
        self._keys: list[str] = []

    def add(self, key: str) -> None:
        """Keep a file until the database says what it is."""
        with self._lock:
            self._keys.append(key)

    def settle(self) -> None:
        """The database answers again: remove files that have no row.

        A file is locked before the database is asked: else `reconcile` could adopt it
        between the answer and its end. What `reconcile` has is no doubt any more.
        """
        if not self._keys:
            return
        with self._lock:
            keys, self._keys = self._keys, []
        with ExitStack() as locks:
            mine = [key for key in keys if locks.enter_context(self._files.unused(key))]
            try:
                recorded = self._recorded_keys(mine) if mine else frozenset()
            except DatabaseError:
                with self._lock:
                    self._keys += mine
                return
            for key in mine:
                if key not in recorded:
                    remove(self._files, key)


def remove(files: PublishedFiles, key: str) -> None:
    """Remove a file that has no row, as far as the disk lets us."""
    try:
        files.delete(key)
    except (NodeError, OSError) as error:
        # `reconcile` deals with it at the next start.
        log.warning("file not removed", extra={"reason": type(error).__name__})
