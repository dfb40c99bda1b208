"""The same again, and other things under the same name (F08, F09; invariant I4)."""

import os
import random
import select
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.instances import Recipe, make_study, new_study_uid, new_uid
from tests.faults.rows import SEED, fault_row
from tests.faults.senders import (
    Association,
    SenderLog,
    send,
    send_at_once,
    store_message,
)
from tests.peers import wait_until


def test_a_study_sent_again_and_at_once_is_stored_once(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F08",
        fault="the whole study again: three times, then twice at once",
        how="2 raw senders, 8 images",
        expected="0x0000 each time, one row and one file per image",
    ) as measured:
        node = make_node().start()
        study = make_study(8)
        for _ in range(3):
            assert send(node.port, log, study)
        assert send_at_once(node.port, log, study * 2, associations=2)
        fresh = make_study(8)
        # Twice at once from the first byte on: neither sender is the first.
        assert send_at_once(
            node.port, log, [item for item in fresh for _ in (1, 2)], associations=2
        )
        assert set(log.statuses()) == {0}
        verdict = checker.check(node, log)
        assert verdict.stored == 16
        assert {row.revision for row in checker.rows(node)} == {1}
        assert set(checker.listed_studies(node).values()) == {8}
        measured |= {"sent": len(log.sent), **verdict.counts()}


def test_a_study_in_pieces_and_out_of_order_is_one_study(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F10",
        fault="a study over 3 associations, one after the other, in random order",
        how="12 images, 2 receiver processes, kill -9 between the second and third",
        expected="one study at revision 1 with every image",
    ) as measured:
        node = make_node(tables={"receive": {"processes": 2}}).start()
        study = make_study(12)
        shuffled = random.Random(SEED).sample(study, len(study))
        assert send(node.port, log, shuffled[:4])
        assert send(node.port, log, shuffled[4:8])
        node.kill()
        node.start()
        assert send(node.port, log, shuffled[8:])
        verdict = checker.check(node, log)
        assert verdict.stored == 12
        assert {row.revision for row in checker.rows(node)} == {1}
        assert set(checker.listed_studies(node).values()) == {12}
        measured |= verdict.counts()


def test_other_contents_under_a_known_uid_are_told_apart(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F09",
        fault="same SOP Instance UID: other demographics, other pixels, other study",
        how="raw sender, then each again",
        expected="new metadata version; conflict kept beside; nothing overwritten",
    ) as measured:
        node = make_node().start()
        first = Recipe(study_instance_uid=new_study_uid(), sop_instance_uid=new_uid())
        renamed = replace(first, patient_name="Other^Name", patient_id="F2")
        repainted = replace(first, pixel_seed=7)
        moved = replace(repainted, study_instance_uid=new_study_uid(), patient_id="F3")
        contents = [item.make() for item in (first, renamed, repainted, moved)]
        for _ in range(2):
            assert send(node.port, log, contents)
        assert set(log.statuses()) == {0}
        verdict = checker.check(node, log)
        rows = checker.rows(node)
        assert [row.receipt for row in rows] == [
            "new",
            "new_metadata",
            "conflict",
            "conflict",
        ]
        current = [row for row in rows if row.current]
        assert len(current) == 1
        assert current[0].study_instance_uid == first.study_instance_uid
        files = checker.snapshot(node).files
        assert sorted(files.values()) == sorted(item.sha256 for item in contents)
        measured |= {
            "versions": len(rows),
            "current": len(current),
            **verdict.counts(),
        }


def test_an_image_that_comes_by_two_associations_at_once_is_one(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F08",
        fault="the same image over 8 associations at the same moment",
        how="8 raw senders, 5 images, two receiver processes",
        expected="one row per image, every sender hears 0x0000",
    ) as measured:
        node = make_node(tables={"receive": {"processes": 2}}).start()
        for instance in make_study(5):
            assert send_at_once(node.port, log, [instance] * 8, associations=8)
        assert set(log.statuses()) == {0}
        verdict = checker.check(node, log)
        assert verdict.stored == 5
        repeats = wait_until(
            lambda: sum(row.repeats for row in checker.rows(node)) == 35,
            what="each repeat is counted",
        )
        assert repeats
        measured |= {"sent": len(log.sent), **verdict.counts()}


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


DAMAGES: tuple[Callable[[Path], None], ...] = (_truncate, _empty, _flip, Path.unlink)


def _nothing_stray(verdict: checker.Verdict) -> checker.Verdict | None:
    stray = verdict.lost or verdict.orphans or verdict.missing or verdict.parts
    return None if stray else verdict


def test_an_image_whose_file_was_damaged_at_rest_is_healed_by_a_resend(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F06",
        fault="stored files cut, emptied, flipped or removed at rest, then their "
        "images come again among new ones",
        how="4 of 8 files changed on the disk; resend over 2 associations",
        expected="0x0000 means that the bytes are there again; the others unharmed",
    ) as measured:
        node = make_node().start()
        study = make_study(8)
        assert send(node.port, log, study)
        kept = {row.sop_instance_uid: row.file_key for row in checker.rows(node)}
        for item, damage in zip(study, DAMAGES, strict=False):
            key = kept[item.sop_instance_uid]
            damage(next(node.instances_dir.rglob(f"{key}*")))
        again = SenderLog()
        more = make_study(8)
        assert send_at_once(node.port, again, study + more, associations=2)
        assert set(again.statuses()) == {0}
        node.kill()
        node.start()
        verdict = wait_until(
            lambda: _nothing_stray(checker.judge(node, again)),
            what="each file has a row or lies in quarantine",
            seconds=20,
        )
        # What is damaged may stay beside as evidence, but nothing reads it any more.
        files = checker.snapshot(node).files
        current = {
            row.sop_instance_uid: files.get(row.file_key)
            for row in checker.rows(node)
            if row.current
        }
        assert current == {item.sop_instance_uid: item.sha256 for item in study + more}
        measured |= {"resent": len(again.sent), "lost": verdict.lost}
        measured["quarantined"] = verdict.quarantined


def test_nobody_waits_while_a_very_large_repeat_is_compared(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F08",
        fault="a data set of 300 MiB again, beside small ones",
        how="2 raw senders, 1 receiver process; the small ones while the repeat waits "
        "for its answer",
        expected="0x0000 for all; no small one waits for the comparison",
    ) as measured:
        node = make_node(tables={"receive": {"processes": 1}}).start()
        (plain,) = make_study(1)
        large = replace(plain, dataset=plain.dataset + _private_element(300 << 20))
        assert send(node.port, log, [large])
        small = iter(make_study(2000, size_bytes=2048))
        repeat = Association.open(node.port, log, seconds=120)
        beside = Association.open(node.port, log)
        assert beside.store(next(small)) == 0
        repeat.connection.sendall(store_message(large))
        begun = time.monotonic()
        waits = []
        while not select.select([repeat.connection], [], [], 0)[0]:
            before = time.monotonic()
            assert beside.store(next(small)) == 0
            waits.append(time.monotonic() - before)
        assert repeat.peer.status() == 0
        seconds = time.monotonic() - begun
        assert len(waits) > 3, "the comparison was too short to be beside it"
        assert max(waits) < seconds / 2
        repeat.release()
        beside.release()
        measured |= {
            "small ones meanwhile": len(waits),
            "longest wait of one, ms": round(max(waits) * 1000),
            "answer to the repeat, ms": round(seconds * 1000),
            **checker.check(node, log).counts(),
        }


def _private_element(size: int) -> bytes:
    """Make (7FE1,xx01) of an owner of its own: OB, zeros."""
    owner = struct.pack("<HH2sH", 0x7FE1, 0x0010, b"LO", 6) + b"LARGE "
    return owner + struct.pack("<HH2sHI", 0x7FE1, 0x1001, b"OB", 0, size) + bytes(size)
