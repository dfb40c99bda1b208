"""Callers whose TLS session is whole and whose records are not."""

import contextlib
import ssl
import time
from collections.abc import Callable

import pytest

from tests.attacks.attack import Plan, attack
from tests.attacks.datasets import real_ct
from tests.attacks.peer import ACCEPTED, Offer, Peer, store_message
from tests.attacks.receiver import MIB
from tests.attacks.test_tls import SERVED, Secured, read_to_the_end, tls
from tests.faults.processes import let_pass

__all__ = ["tls"]  # the fixture

# After network_timeout_seconds, a tick of the reader's clock and a busy machine.
ENDED_SECONDS = 8.0
BLOCK = 1 << 16


class RecordPeer:
    """A caller that has its TLS records in its hands before they are sent."""

    def __init__(self, tls: Secured) -> None:
        self.peer = Peer(tls.port)
        self._came, self._leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = tls.context.wrap_bio(
            self._came, self._leaves, server_hostname="localhost"
        )
        self._until_done(self._session.do_handshake)
        self._session.write(Offer().encode())
        self.send(self._leaves.read())
        self._until_done(lambda: self._session.read(BLOCK))  # the A-ASSOCIATE-AC

    def records(self, content: bytes) -> bytes:
        """Encrypt; TLS makes a record of 16 KiB at most of it."""
        self._session.write(content)
        return self._leaves.read()

    def close_notify(self) -> bytes:
        """Return the alert that ends what this side has to say."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._session.unwrap()
        return self._leaves.read()

    def send(self, content: bytes) -> bool:
        """Send bytes as they are; say whether they were taken."""
        return self.peer.send(content)

    def _until_done(self, step: Callable[[], object]) -> None:
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                self.send(self._leaves.read())
                self._came.write(self.peer.connection.recv(BLOCK))
            else:
                self.send(self._leaves.read())
                return


def test_b15_a_record_that_drips_ends_its_association(tls: Secured) -> None:
    plan = Plan(
        id="B15e",
        attack="slowloris by TLS record: never silent, and never a whole record",
        how="a C-STORE in records of 16 KiB, 40 bytes each 0.05 s; timeouts 1.5 s",
        expected="association ended, part file removed, " + SERVED,
        peak_bytes=16 * MIB,
    )
    dataset, instance = real_ct()
    with attack(tls.receiver, plan) as seen:
        caller = RecordPeer(tls)
        records = caller.records(store_message(dataset, instance))
        begun = time.monotonic()
        for start in range(0, len(records), 40):
            if not caller.send(records[start : start + 40]):
                break
            assert time.monotonic() - begun < ENDED_SECONDS
            let_pass(0.05)
        caller.peer.close()
        assert tls.call() == ACCEPTED
        assert not list(tls.receiver.store.rglob("*.part"))
        seen.saw(f"ended after {time.monotonic() - begun:.1f} s")


@pytest.mark.parametrize("whole", [True, False], ids=["between", "within a record"])
def test_b15_a_session_that_is_half_closed_is_ended(tls: Secured, whole: bool) -> None:
    plan = Plan(
        id="B15f",
        attack=f"TLS half-closed {'between records' if whole else 'within a record'}",
        how="in a data set: close_notify, a FIN, both, or plain text behind it; the "
        "caller goes on waiting",
        expected="closed within 3 s, part file removed, " + SERVED,
        peak_bytes=16 * MIB,
    )
    dataset, instance = real_ct()
    with attack(tls.receiver, plan) as seen:
        for notify, finish, behind in (
            (True, False, b""),
            (False, True, b""),
            (True, True, b""),
            (True, False, b"\4\0\0\0\0\x10" * 100),
            (False, False, b"\x17\x03\x03\0\x20" + bytes(32)),
        ):
            caller = RecordPeer(tls)
            records = caller.records(store_message(dataset, instance)[:20_000])
            caller.send(records if whole else records[:-7])
            if notify:
                caller.send(caller.close_notify())
            caller.send(behind)
            if finish:
                caller.peer.finish()
            read_to_the_end(caller.peer)
            caller.peer.close()
        assert tls.call() == ACCEPTED
        assert not list(tls.receiver.store.rglob("*.part"))
        seen.saw("5 closed")
