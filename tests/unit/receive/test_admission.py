"""Who may call, and how many at once."""

import pytest

from dicom_node.receive.admission import (
    CALLED_UNKNOWN,
    CALLING_UNKNOWN,
    DRAINING,
    TOO_MANY,
    Admission,
    Caller,
    Peer,
    Rejection,
    normalise,
)


def admission(
    *peers: Peer, limits: tuple[int, int] = (10, 10), title: str = "AINODE"
) -> Admission:
    return Admission(title, peers, limits=limits)


@pytest.mark.parametrize(
    ("calling", "called", "address", "expected"),
    [
        ("CT1", "AINODE", "10.0.0.1", None),
        ("CT1 ", "AINODE  ", "10.0.0.1", None),
        ("CT1", "AINODE", "::ffff:10.0.0.1", None),
        ("ct1", "AINODE", "10.0.0.1", CALLING_UNKNOWN),
        ("CT1", "AINODE", "10.0.0.2", CALLING_UNKNOWN),
        ("CT2", "AINODE", "192.0.2.77", None),
        ("CT1", "ainode", "10.0.0.1", CALLED_UNKNOWN),
        ("", "", "10.0.0.1", CALLED_UNKNOWN),
    ],
)
def test_title_and_address_must_belong_to_one_peer(
    calling: str, called: str, address: str, expected: Rejection | None
) -> None:
    gate = admission(Peer("CT1", "10.0.0.1"), Peer("CT2"))
    assert gate.enter(Caller(calling, called, address)) == expected


def test_without_peers_everybody_may_call() -> None:
    assert admission().enter(Caller("ANY", "AINODE", "127.0.0.1")) is None


def test_a_place_is_given_back() -> None:
    gate = admission(limits=(3, 2))
    one, other = Caller("A", "AINODE", "10.0.0.1"), Caller("A", "AINODE", "10.0.0.2")
    assert [gate.enter(one), gate.enter(one), gate.enter(one)] == [None, None, TOO_MANY]
    assert [gate.enter(other), gate.enter(other)] == [None, TOO_MANY]
    gate.leave(one)
    assert gate.enter(other) is None


def test_a_closed_admission_says_come_again() -> None:
    gate = admission()
    gate.close()
    assert gate.enter(Caller("A", "AINODE", "10.0.0.1")) == DRAINING
    assert DRAINING.result == 2, "transient"


def test_a_host_that_does_not_resolve_admits_nobody() -> None:
    gate = admission(Peer("CT1", "no-such-host.invalid"))
    assert gate.enter(Caller("CT1", "AINODE", "10.0.0.1")) == CALLING_UNKNOWN


@pytest.mark.parametrize(
    ("address", "expected"),
    [("::FFFF:1.2.3.4", "1.2.3.4"), ("fe80::1%eth0", "fe80::1"), ("x", "x")],
)
def test_addresses_have_one_spelling(address: str, expected: str) -> None:
    assert normalise(address) == expected
