"""Text that a sender chose: never a path, a line of the log, SQL or a program."""

import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from dicom_node.cli import main
from tests.attacks.attack import Plan, attack, check_log
from tests.attacks.datasets import element, image
from tests.attacks.peer import ABORTED, REJECTED, Offer, Peer
from tests.attacks.receiver import MIB, Receiver
from tests.integration.receive.wire import CT, EXPLICIT, uid

# Each holds this word, which nothing else in the node does.
MARK = "qzmark"
HOSTILE = (
    f"../../{MARK}",
    f"/etc/{MARK}",
    f"..\\..\\{MARK}.exe",
    "..",
    "1/4",
    f"1.2\0{MARK}",
    f"\0{MARK}",
    f'1.2.3\n{{"at": "2026-11-22", "level": "info", "event": "{MARK}"}}',
    f"1.2\r\n{MARK}",
    f"\x1b[2J\x1b]0;{MARK}\x07",
    f"'; DROP TABLE instances; -- {MARK}",
    f"<script>alert('{MARK}')</script>",
    f"=cmd|'/c {MARK}'!A1",
    f"%s%n%x {MARK}",
    f"${{jndi:ldap://127.0.0.1/{MARK}}}",
    f"$({MARK})",
    MARK + "1" * 5000,
    f"\u202e{MARK}\ufeff",
)
STUDY_UID, SERIES_UID = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
# Study Description, Series Description, Accession Number, Manufacturer and others that
# the node reads, each with its VR.
READ = {
    0x00080050: b"SH",
    0x00080060: b"CS",
    0x00080070: b"LO",
    0x00081030: b"LO",
    0x0008103E: b"LO",
    0x00101010: b"AS",
    0x00180015: b"CS",
    0x00185101: b"CS",
    0x00200011: b"IS",
    0x00200013: b"IS",
}


def dataset_with(instance: str, values: dict[int, bytes]) -> bytes:
    """Make an image whose elements of groups 0008 to 0020 are these."""
    named = {
        0x00080016: (b"UI", uid(CT)),
        0x00080018: (b"UI", uid(instance)),
        0x0020000D: (b"UI", uid(STUDY_UID)),
        0x0020000E: (b"UI", uid(SERIES_UID)),
    }
    for number, value in values.items():
        vr = named[number][0] if number in named else READ[number]
        named[number] = (vr, value + b" " * (len(value) % 2))
    head = b"".join(element(number, *named[number]) for number in sorted(named))
    whole = image()
    return head + whole[whole.index(b"\x28\x00\x02\x00US") :]


def no_mark(receiver: Receiver) -> None:
    """Fail if a sender's text got anywhere but into a stored file and its row."""
    log = receiver.tool.output()
    assert MARK not in log
    assert "\x1b" not in log
    paths = [str(path) for path in receiver.folder.rglob("*")]
    assert not [path for path in paths if MARK in path]
    assert not receiver.strays()


def test_b1_uids_that_are_no_uids_are_refused(receiver: Receiver) -> None:
    plan = Plan(
        id="B1",
        attack="UIDs with ../../x, absolute path, NUL, newline, SQL, ESC, HTML",
        how=f"{len(HOSTILE)} texts as SOP Instance, Study and Series UID",
        expected="refused with 0xC000 or 0xA900, nothing written, nothing logged",
        peak_bytes=8 * MIB,
    )
    with attack(receiver, plan) as seen:
        statuses = [
            answer_to(receiver, sent, command_uid)
            for text in HOSTILE
            for sent, command_uid in hostile_pairs(text)
        ]
        no_mark(receiver)
        counts = Counter(statuses)
        seen.saw(", ".join(f"{count} {name}" for name, count in counts.items()))
    assert counts.keys() <= {"0xC000", "0xA900", ABORTED}
    assert counts[ABORTED] < 0.2 * counts.total()


def hostile_pairs(text: str) -> Iterator[tuple[bytes, str]]:
    """Make data sets and the UID of their command; at least one of them is hostile."""
    value = text.encode()
    yield dataset_with(text, {}), text
    yield dataset_with("1.2.3", {}), text
    yield dataset_with(text, {}), "1.2.3"
    for number in (0x0020000D, 0x0020000E, 0x00080016):
        yield dataset_with("1.2.3", {number: value}), "1.2.3"


def answer_to(receiver: Receiver, dataset: bytes, instance: str) -> str:
    """Return the status, or how the association ended."""
    with Peer(receiver.port) as peer:
        answer = peer.established().store(dataset, instance)
        if answer.status < 0:
            return answer.kind
        peer.release()
        return f"0x{answer.status:04X}"


def test_hostile_descriptions_are_kept_and_go_nowhere_else(
    receiver: Receiver,
) -> None:
    plan = Plan(
        id="B1b",
        attack="the same texts in every attribute that the node reads",
        how=f"{len(HOSTILE)} texts in {len(READ)} attributes",
        expected="stored; database whole; not in log, path or raw on the screen",
        peak_bytes=8 * MIB,
    )
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.established()
        for number, text in enumerate(HOSTILE):
            values = dict.fromkeys(READ, text.encode())
            sent = dataset_with(f"1.2.3.{number}", values)
            assert peer.store(sent, f"1.2.3.{number}").status == 0, text[:20]
        peer.release()
        no_mark(receiver)
        seen.saw(f"{len(HOSTILE)} stored")
    for arguments in (["studies"], ["show", STUDY_UID], ["show", "--associations"]):
        shown = printed(receiver, arguments)
        assert "\x1b" not in shown
        assert "\x07" not in shown


def printed(receiver: Receiver, arguments: list[str]) -> str:
    """Return what a sub-command prints for a person; it runs in this process."""
    shown = StringIO()
    configuration = str(receiver.folder / "node.toml")
    with redirect_stdout(shown), redirect_stderr(shown):
        assert main([*arguments, "--config", configuration]) == 0
    assert shown.getvalue()
    return shown.getvalue()


def ae_titles() -> Iterator[bytes]:
    """Make AE titles that are hostile within their 16 bytes."""
    yield from (text.encode()[:16] for text in HOSTILE)
    yield from (b"\xff" * 16, b"\n" * 16, b"\x1b[31mRED\x1b[0m", bytes(range(16)))


def test_hostile_ae_titles_are_bounded_and_printable(receiver: Receiver) -> None:
    plan = Plan(
        id="B1c",
        attack="AE titles with path, newline, NUL, ESC, SQL, HTML",
        how="as calling and as called AE title",
        expected="as called: rejected 1/1/7 or aborted; the log stays JSON lines",
        peak_bytes=8 * MIB,
    )
    receiver.new_log()
    with attack(receiver, plan) as seen:
        rejected = 0
        for title in ae_titles():
            with Peer(receiver.port) as peer:
                if peer.associate(Offer(calling=title)).kind == "accepted":
                    assert peer.store(dataset_with("1.2.4", {}), "1.2.4").status == 0
                    peer.release()
            with Peer(receiver.port) as peer:
                answer = peer.associate(Offer(called=title))
                assert answer.kind in (REJECTED, ABORTED), title
                if answer.kind == REJECTED:
                    assert tuple(answer.body[1:4]) == (1, 1, 7)
                    rejected += 1
        seen.saw(f"{rejected} rejected as called AE title, the others aborted")
    for line in receiver.tool.output().splitlines():
        assert line.isprintable()
    check_log(receiver)


@pytest.mark.parametrize(
    "program",
    [b"MZ\x90\0", b"\x7fELF\2\1\1", b"#!/bin/sh\nid >/tmp/qzmark\n", b"PK\3\4"],
    ids=["exe", "elf", "script", "archive"],
)
def test_no_stored_file_can_be_a_program(receiver: Receiver, program: bytes) -> None:
    """CVE-2019-11687: whatever comes, a file begins with 128 zero bytes."""
    whole_file = program.ljust(128, b"\0") + b"DICM" + dataset_with("1.2.5", {})
    with Peer(receiver.port) as peer:
        peer.established()
        assert peer.store(whole_file, "1.2.5").status == 0xC000
        assert peer.store(dataset_with("1.2.5", {}), "1.2.5").status == 0
        peer.release()
    files = receiver.files()
    assert files
    for path in files:
        content = path.read_bytes()
        assert content[:132] == bytes(128) + b"DICM"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert EXPLICIT.encode() in content[:400]
