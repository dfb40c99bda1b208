"""An association as requestor: opened, bounded in time, and explained in words.

pynetdicom's own timeouts do not bound a peer that sends half a PDU or stops
reading; here a watchdog shuts the socket down, which ends every wait.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicom_node.core.errors import DeliveryError
from dicom_node.deliver.caller import Caller, call
from dicom_node.deliver.caller import NothingAccepted as NothingAccepted
from dicom_node.deliver.gate import Gate
from dicom_node.deliver.peer import Peer as Peer
from dicom_node.deliver.watchdog import Watchdog

MAX_CONTEXTS = 128  # PS3.8 9.3.2.2: context IDs are the odd numbers up to 255
_RELEASE_SECONDS = 10.0
_SLOWEST_BYTES_PER_SECOND = 1_000_000


class Link:
    """An established association."""

    def __init__(self, association: Association, gate: Gate, peer: Peer) -> None:
        self.association = association
        self._gate = gate
        self._peer = peer
        self._unanswered = False

    @property
    def accepted(self) -> frozenset[tuple[str, str]]:
        """The accepted (SOP Class UID, Transfer Syntax UID) pairs."""
        return frozenset(
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in self.association.accepted_contexts
        )

    @property
    def alive(self) -> bool:
        """Whether more can be sent.

        pynetdicom notices a lost association some time after the answer is missed.
        """
        return bool(self.association.is_established) and not self._unanswered

    def echo(self) -> int:
        """C-ECHO and return the status.

        Raises:
            DeliveryError: no status came.
        """
        limit = self._peer.timeout_seconds
        return self.ask(self.association.send_c_echo, "C-ECHO", limit=limit)

    def store(self, content: Path | Dataset, *, size_bytes: int = 0) -> int:
        """C-STORE a file as it is, or a data set in the accepted syntax.

        Args:
            size_bytes: of what is sent; a large object may take longer than the
                peer's timeout.

        Returns:
            the status the peer answered.

        Raises:
            DeliveryError: no status came, or the object cannot be read or encoded.
        """

        def send() -> Dataset:
            return self.association.send_c_store(content)

        limit = self._peer.timeout_seconds + size_bytes / _SLOWEST_BYTES_PER_SECOND
        return self.ask(send, "C-STORE", limit=limit)

    def ask(self, send: Callable[[], Dataset], what: str, *, limit: float) -> int:
        """Send a request and return the status of its answer.

        Args:
            limit: seconds until the peer is given up.

        Raises:
            DeliveryError: no status came, or the object cannot be encoded.
        """
        self.association.dimse_timeout = limit
        started = time.monotonic()
        try:
            with Watchdog(self.association, limit):
                self._gate.stop(self.association)
                answer = send()
        except (ValueError, AttributeError) as error:
            raise DeliveryError(
                f"the object cannot be encoded for {self._peer} "
                f"({type(error).__name__}): nothing was sent",
                retryable=False,
            ) from None
        except (RuntimeError, OSError):
            answer = Dataset()  # the association ended before the first byte
        if "Status" in answer:
            return int(answer.Status)
        self._unanswered = True
        if time.monotonic() - started >= limit:
            raise DeliveryError(
                f"{self._peer} gave no answer to the {what} within {limit:.3g} s: "
                f"see its log, or raise {self._peer.setting('timeout_seconds')}",
                retryable=True,
            )
        raise DeliveryError(
            f"{self._peer} ended the association before it answered the {what}: "
            "see its log",
            retryable=True,
        )


@contextmanager
def associate(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Link]:
    """Open an association, release it at the end.

    Args:
        handlers: what answers the requests of the peer on this association.

    Raises:
        NothingAccepted: the peer takes none of the contexts.
        DeliveryError: there is no association; the sentence says why and what to do.
    """
    caller = Caller(peer)
    try:
        association = call(caller, peer, contexts, handlers=handlers)
        try:
            yield Link(association, caller.gate, peer)
        finally:
            # What the peer answered stands, however the association ends.
            if association.is_established:
                limit = min(peer.timeout_seconds, _RELEASE_SECONDS)
                association.acse_timeout = limit
                with Watchdog(association, limit), suppress(RuntimeError):
                    # Without this pynetdicom may answer the peer after its own
                    # release, or wait for ever for a thread that has just ended.
                    caller.gate.stop(association)
                    if association.is_alive():
                        association.release()
    finally:
        caller.close()
