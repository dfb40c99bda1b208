"""pynetdicom as requestor, with the one care that it needs."""

from pynetdicom.association import Association

from tests.integration.receive.node import until


def settle(association: Association) -> None:
    """Wait until the association's own thread sleeps, before something is sent.

    pynetdicom 3.0.4 only asks whether it is about to: a response that comes faster
    than it falls asleep is taken by it, and lost.
    """
    checkpoint = association._reactor_checkpoint
    checkpoint.clear()
    until(lambda: bool(checkpoint._cond._waiters))  # type: ignore[attr-defined]  # nothing public tells
