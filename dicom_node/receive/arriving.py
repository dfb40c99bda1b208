"""Tell of data sets that take their time: their studies are not quiet meanwhile.

A large image over a thin line may take longer than the quiet time. Its study is known
from its first kilobytes, and is kept open while bytes of it come.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from dicom_node.core.clock import Clock
from dicom_node.core.errors import DatabaseError
from dicom_node.receive.incoming import Incoming
from dicom_node.receive.refusals import study_of

log = logging.getLogger("dicom_node.receive")

# Below the least quiet time that makes sense; what arrives faster is never told.
ARRIVING_SECONDS: Final = 0.5

Note = Callable[[Mapping[str, datetime]], None]


class Arriving:
    """Notes studies on a thread of its own: reading must not wait for the database.

    A database that is down is not waited for: what comes next is told again.

    Args:
        note: takes when something of a study last came, by Study Instance UID.
    """

    def __init__(self, note: Note, clock: Clock) -> None:
        self._note = note
        self._clock = clock
        self._waiting: dict[str, datetime] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(
            target=self._run, name="receive-arriving", daemon=True
        )
        self._thread.start()

    def tell(self, incoming: Incoming, transfer_syntax_uid: str) -> None:
        """Tell that bytes of a data set came; must not wait."""
        uid = study_of(incoming, transfer_syntax_uid)
        if not uid:
            return
        with self._changed:
            self._waiting[uid] = self._clock.now()
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Note no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                arriving, self._waiting = self._waiting, {}
            try:
                self._note(arriving)
            except DatabaseError:
                log.warning(
                    "studies that arrive not noted", extra={"reason": "database"}
                )
            except Exception as error:  # noqa: BLE001 - a thread's edge
                log.error(
                    "studies that arrive not noted",
                    extra={"error": type(error).__name__},
                )
