"""Ends what a peer does not end: pynetdicom's own timeouts do not bound everything."""

import threading
from typing import Final

from pynetdicom.association import Association

from dicom_node.deliver.tls import shut_down

# Lets pynetdicom's own timeout act before.
GRACE_SECONDS: Final = 2.0


class Watchdog:
    """Shuts the association's socket down if the block takes too long."""

    def __init__(self, association: Association, limit_seconds: float) -> None:
        self._association = association
        self._timer = threading.Timer(limit_seconds + GRACE_SECONDS, self._bite)
        self._timer.daemon = True

    def __enter__(self) -> "Watchdog":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _bite(self) -> None:
        wrapped = self._association.dul.socket
        if wrapped is not None and wrapped.socket is not None:
            shut_down(wrapped.socket)
