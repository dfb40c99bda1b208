"""Who may call, and how many at once."""

from pathlib import Path

import pytest

from dicom_node.receive.admission import (
    CALLED_UNKNOWN,
    CALLING_UNKNOWN,
    DRAINING,
    IDENTITY_REFUSED,
    NEEDS_TLS,
    TOO_MANY,
    WRONG_ADDRESS,
    WRONG_CERTIFICATE,
    Admission,
    Caller,
    Peer,
    Rejection,
    normalise,
)
from dicom_node.receive.identity import Identity
from dicom_node.receive.slots import Slots

ANYWHERE = Caller("CT1", "AINODE", "10.0.0.1")


def admission(
    *peers: Peer, limits: tuple[int, int] = (10, 10), called: tuple[str, ...] = ()
) -> Admission:
    return Admission(("AINODE", *called), peers, slots=Slots(*limits))


def over_tls(subject: str = "", identity: Identity | None = None) -> Caller:
    return Caller("CT1", "AINODE", "10.0.0.1", "TLSv1.3", subject, identity)


@pytest.mark.parametrize(
    ("calling", "called", "address", "expected"),
    [
        ("CT1", "AINODE", "10.0.0.1", None),
        ("CT1 ", "AINODE  ", "10.0.0.1", None),
        (" CT1", " AINODE", "10.0.0.1", None),
        ("CT1", "AINODE", "::ffff:10.0.0.1", None),
        ("ct1", "AINODE", "10.0.0.1", CALLING_UNKNOWN),
        ("CT1", "AINODE", "10.0.0.2", WRONG_ADDRESS),
        ("CT2", "AINODE", "192.0.2.77", None),
        ("CT1", "ainode", "10.0.0.1", CALLED_UNKNOWN),
        ("CT1", "AINODE2", "10.0.0.1", CALLED_UNKNOWN),
        ("", "", "10.0.0.1", CALLED_UNKNOWN),
        ("", "AINODE", "10.0.0.1", CALLING_UNKNOWN),
    ],
)
def test_title_and_address_must_belong_to_one_peer(
    calling: str, called: str, address: str, expected: Rejection | None
) -> None:
    gate = admission(Peer("CT1", "10.0.0.1"), Peer("CT2"))
    assert gate.enter(Caller(calling, called, address)) == expected


@pytest.mark.parametrize(
    ("rejection", "codes"),
    [
        (CALLING_UNKNOWN, (1, 1, 3)),
        (WRONG_ADDRESS, (1, 1, 3)),
        (NEEDS_TLS, (1, 1, 3)),
        (WRONG_CERTIFICATE, (1, 1, 3)),
        (CALLED_UNKNOWN, (1, 1, 7)),
        (TOO_MANY, (2, 3, 2)),
        (DRAINING, (2, 3, 1)),
        (IDENTITY_REFUSED, (2, 2, 1)),
    ],
)
def test_rejections_have_the_codes_of_table_9_21(
    rejection: Rejection, codes: tuple[int, int, int]
) -> None:
    assert (rejection.result, rejection.source, rejection.diagnostic) == codes


def test_without_peers_everybody_may_call() -> None:
    assert admission().enter(Caller("ANY", "AINODE", "127.0.0.1")) is None


def test_every_title_of_the_node_may_be_called() -> None:
    gate = admission(called=("AICHEST", "AI BONE "))
    for title in ("AINODE", "AICHEST", "AI BONE", " AI BONE"):
        assert gate.enter(Caller("CT1", title, "10.0.0.1")) is None
    assert gate.enter(Caller("CT1", "AIBONE", "10.0.0.1")) == CALLED_UNKNOWN


@pytest.mark.parametrize(
    ("host", "address", "known"),
    [
        ("10.1.0.0/16", "10.1.255.255", True),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "10.2.0.0", False),
        ("10.1.0.0/16", "fd00::1", False),
        ("fd00:12::/32", "fd00:12:ffff::9", True),
        ("fd00:12::/32", "fd00:13::9", False),
        ("fd00::1", "FD00:0::1", True),
        ("fe80::1", "fe80::1%eth0", True),
        ("::ffff:10.1.0.0/112", "10.1.0.9", True),
        ("::ffff:10.1.0.0/112", "10.2.0.9", False),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "10.0.0.1", False),
    ],
)
def test_a_host_is_a_name_an_address_or_a_range(
    host: str, address: str, known: bool
) -> None:
    gate = admission(Peer("CT1", host))
    expected = None if known else WRONG_ADDRESS
    assert gate.enter(Caller("CT1", "AINODE", address)) == expected


def test_a_host_that_does_not_resolve_admits_nobody() -> None:
    gate = admission(Peer("CT1", "no-such-host.invalid"))
    assert gate.enter(ANYWHERE) == WRONG_ADDRESS


@pytest.mark.parametrize(
    ("pattern", "subject", "known"),
    [
        ("CN=ct1,O=Hospital", "CN=ct1,O=Hospital", True),
        ("CN=ct1,O=Hospital", "O=Hospital,CN=ct1", True),
        ("CN=ct1,*", "C=DE,O=Hospital,CN=ct1", True),
        ("*,CN=ct1", "C=DE,O=Hospital,CN=ct1", True),
        ("CN=ct?,O=*", "CN=ct7,O=Hospital", True),
        ("CN=CT1,O=Hospital", "CN=ct1,O=Hospital", False),
        ("CN=ct1", "CN=ct1,O=Hospital", False),
        ("CN=ct1,*", r"O=Other\,CN=ct1,CN=evil", False),
        (r"O=Smith\, Jones,CN=a", r"O=Smith\, Jones,CN=a", True),
        (r"CN=a,O=Smith\, Jones", r"O=Smith\, Jones,CN=a", True),
        ("*", "", False),
    ],
)
def test_a_certificate_subject_is_a_glob_with_regard_to_case(
    pattern: str, subject: str, known: bool
) -> None:
    gate = admission(Peer("CT1", certificate_subject=pattern))
    expected = None if known else WRONG_CERTIFICATE
    assert gate.enter(over_tls(subject)) == expected


def test_a_peer_with_a_certificate_cannot_do_without_tls() -> None:
    gate = admission(Peer("CT1", certificate_subject="*"))
    plain = Caller("CT1", "AINODE", "10.0.0.1", certificate_subject="CN=ct1")
    assert gate.enter(plain) == NEEDS_TLS


def test_one_entry_that_fits_is_enough() -> None:
    gate = admission(Peer("CT1", "10.0.0.9"), Peer("CT1", "10.0.0.0/24"))
    assert gate.enter(ANYWHERE) is None


def _passcode_file(folder: Path, text: str = "open sesame\n") -> Path:
    file = folder / "passcode"
    file.write_text(text)
    file.chmod(0o600)
    return file


def _claim(passcode: bytes, *, kind: int = 2, username: bytes = b"ct1") -> Identity:
    return Identity(kind=kind, username=username, passcode=passcode)


@pytest.mark.parametrize(
    ("identity", "accepted"),
    [
        (_claim(b"open sesame"), True),
        (_claim(b"open sesame\n"), False),
        (_claim(b"wrong"), False),
        (_claim(b""), False),
        (_claim(b"open sesame", username=b"CT1"), False),
        (_claim(b"open sesame", kind=1), False),
        (_claim(b"open sesame", kind=3), False),
        (None, False),
    ],
)
def test_a_peer_with_a_username_has_to_present_it_with_its_passcode(
    tmp_path: Path, identity: Identity | None, accepted: bool
) -> None:
    peer = Peer("CT1", username="ct1", passcode_file=_passcode_file(tmp_path))
    gate, caller = admission(peer), over_tls("CN=ct1", identity)
    assert gate.enter(caller) == (None if accepted else IDENTITY_REFUSED)
    assert gate.identified(caller) is accepted


def test_an_identity_without_tls_is_not_looked_at(tmp_path: Path) -> None:
    peer = Peer("CT1", username="ct1", passcode_file=_passcode_file(tmp_path))
    right = _claim(b"open sesame")
    caller = Caller("CT1", "AINODE", "10.0.0.1", identity=right)
    assert admission(peer).enter(caller) == NEEDS_TLS


def test_an_identity_that_no_peer_asks_for_is_not_confirmed(tmp_path: Path) -> None:
    other = Peer("CT2", username="ct1", passcode_file=_passcode_file(tmp_path))
    gate = admission(Peer("CT1"), other)
    caller = over_tls(identity=_claim(b"open sesame"))
    assert gate.enter(caller) is None
    assert not gate.identified(caller)


def test_a_changed_passcode_holds_at_once(tmp_path: Path) -> None:
    file = _passcode_file(tmp_path)
    gate = admission(Peer("CT1", username="ct1", passcode_file=file))
    old, new = (over_tls(identity=_claim(code)) for code in (b"open sesame", b"new"))
    assert gate.enter(old) is None
    _passcode_file(tmp_path, "new")
    assert gate.enter(old) == IDENTITY_REFUSED
    assert gate.enter(new) is None


def test_a_passcode_file_that_others_may_read_admits_nobody(tmp_path: Path) -> None:
    file = _passcode_file(tmp_path)
    gate = admission(Peer("CT1", username="ct1", passcode_file=file))
    caller = over_tls(identity=_claim(b"open sesame"))
    file.chmod(0o644)
    assert gate.enter(caller) == IDENTITY_REFUSED
    file.chmod(0o600)
    assert gate.enter(caller) is None
    file.unlink()
    assert gate.enter(caller) == IDENTITY_REFUSED


def test_an_identity_shows_nothing_of_itself() -> None:
    text = repr(over_tls(identity=_claim(b"open sesame")))
    assert "sesame" not in text
    assert "ct1" not in text


def test_a_place_is_given_back() -> None:
    gate = admission(limits=(3, 2))
    one, other = Caller("A", "AINODE", "10.0.0.1"), Caller("A", "AINODE", "10.0.0.2")
    assert [gate.enter(one), gate.enter(one), gate.enter(one)] == [None, None, TOO_MANY]
    assert [gate.enter(other), gate.enter(other)] == [None, TOO_MANY]
    gate.leave(one)
    assert gate.enter(other) is None


def test_a_stranger_takes_no_place() -> None:
    gate = admission(Peer("CT1"), limits=(1, 1))
    assert gate.enter(Caller("CT2", "AINODE", "10.0.0.1")) == CALLING_UNKNOWN
    assert gate.enter(ANYWHERE) is None


def test_a_congested_node_says_temporary_congestion_and_why() -> None:
    reasons = iter(["free space below receive.min_free_bytes", ""])
    gate = Admission(
        ("AINODE",), (), slots=Slots(1, 1), congested=lambda: next(reasons)
    )
    refused = gate.enter(ANYWHERE)
    assert refused == Rejection(2, 3, 1, "free space below receive.min_free_bytes")
    assert gate.enter(ANYWHERE) is None, "the refusal took no place"


def test_a_closed_admission_says_come_again() -> None:
    gate = admission()
    gate.close()
    assert gate.enter(ANYWHERE) == DRAINING


@pytest.mark.parametrize(
    ("address", "expected"),
    [("::FFFF:1.2.3.4", "1.2.3.4"), ("fe80::1%eth0", "fe80::1"), ("x", "x")],
)
def test_addresses_have_one_spelling(address: str, expected: str) -> None:
    assert normalise(address) == expected
