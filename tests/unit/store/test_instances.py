"""Files that are written while they arrive."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicom_node.core.errors import OutOfResources, StoreError
from dicom_node.part10.digest import dataset_digest, name_digest
from dicom_node.part10.head import file_head
from dicom_node.store.files import PARTS
from dicom_node.store.instances import InstanceFiles
from dicom_node.store.reconcile import reconcile

HEAD = file_head(
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.3",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    source_ae_title="CT",
)
DATA = bytes(range(256)) * 64


def nobody(_keys: Sequence[str]) -> frozenset[str]:
    """Be a database without rows."""
    return frozenset()


def keep(files: InstanceFiles) -> str:
    key = files.new_key(name_digest(HEAD, dataset_digest(DATA).digest()))
    part = files.begin()
    part.write([HEAD, memoryview(DATA)[:1000], memoryview(DATA)[1000:]])
    part.sync()
    part.publish(key)
    files.sync_names([key])
    part.release()
    return key


def test_a_published_file_holds_what_was_written_and_nobody_else_may_read_it(
    tmp_path: Path,
) -> None:
    files = InstanceFiles(tmp_path)
    path = files.path(keep(files))
    assert path.read_bytes() == HEAD + DATA
    assert path.stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / PARTS).iterdir()) == []


def test_the_same_bytes_twice_have_two_names_of_one_digest(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    first, second = keep(files), keep(files)
    assert first != second
    assert first[:32] == second[:32]


@pytest.mark.parametrize("place", [140, len(HEAD) - 1, len(HEAD), -1])
def test_one_changed_bit_is_seen_wherever_it_is(tmp_path: Path, place: int) -> None:
    files = InstanceFiles(tmp_path)
    key = keep(files)
    assert files.intact(key)
    content = bytearray(files.path(key).read_bytes())
    content[place] ^= 1
    files.path(key).write_bytes(content)
    assert not files.intact(key)


@pytest.mark.parametrize("size", [0, 100, len(HEAD), len(HEAD) + 10])
def test_a_file_that_a_power_cut_shortened_is_seen(tmp_path: Path, size: int) -> None:
    files = InstanceFiles(tmp_path)
    key = keep(files)
    os.truncate(files.path(key), size)
    assert not files.intact(key)


def test_a_file_that_is_gone_is_not_intact(tmp_path: Path) -> None:
    assert not InstanceFiles(tmp_path).intact("0" * 64)


def test_a_part_is_read_back_without_its_head(tmp_path: Path) -> None:
    part = InstanceFiles(tmp_path).begin()
    part.write([HEAD, DATA])
    with part.mapped(len(HEAD)) as view:
        assert bytes(view) == DATA
    part.discard()
    part.discard()


def test_a_long_data_set_stops_when_the_disk_gets_low(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path, min_free_bytes=1 << 62)
    part = files.begin()  # whoever begins asks for space first
    block = bytes(1 << 20)
    for _ in range(7):
        part.write([block] * 8)
    with pytest.raises(OutOfResources, match="min_free_bytes"):
        part.write([block] * 16)
    part.discard()
    assert list((tmp_path / PARTS).iterdir()) == []


def test_thousands_of_fragments_are_written_in_their_order(tmp_path: Path) -> None:
    part = InstanceFiles(tmp_path).begin()
    fragments = [number.to_bytes(4, "big") for number in range(5000)]
    part.write(fragments)
    with part.mapped(0) as view:
        assert bytes(view) == b"".join(fragments)
    part.discard()


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path / "instances")
    files.begin().discard()
    (tmp_path / "instances" / PARTS).rmdir()
    with pytest.raises(OutOfResources):
        files.begin()
    files.begin().discard()


def test_keys_made_by_many_threads_at_once_are_all_whole(tmp_path: Path) -> None:
    for _ in range(50):
        files = InstanceFiles(tmp_path)
        together = threading.Barrier(4)

        def make(files: InstanceFiles, together: threading.Barrier) -> str:
            together.wait()
            return files.new_key("0" * 32)

        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(make, files, together) for _ in range(4)]
            assert {len(key.result()) for key in made} == {64}


def test_reconcile_keeps_away_from_what_a_receiver_has_in_hand(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    key = files.new_key(name_digest(HEAD, dataset_digest(DATA).digest()))
    part = files.begin()
    part.write([HEAD, DATA])
    part.publish(key)
    adopted: list[str] = []

    def adopt(found: str, path: Path) -> bool:
        adopted.append(found)
        return True

    assert reconcile(files, [], adopt, recorded_keys=nobody).adopted == 0
    part.release()
    assert reconcile(files, [], adopt, recorded_keys=nobody).adopted == 1
    assert adopted == [key]


def test_a_file_that_a_power_cut_emptied_is_quarantined_and_missing(
    tmp_path: Path,
) -> None:
    files = InstanceFiles(tmp_path)
    whole, emptied = keep(files), keep(files)
    os.truncate(files.path(emptied), 0)
    report = reconcile(
        files,
        [whole, emptied],
        lambda key, path: False,
        recorded_keys=nobody,
        latest=[(whole, len(DATA)), (emptied, len(DATA))],
    )
    assert (report.quarantined, report.missing) == (1, 1)
    assert files.intact(whole)


def test_what_is_no_key_or_digest_is_refused(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    with pytest.raises(StoreError):
        files.path("../../etc/passwd")
    with pytest.raises(StoreError):
        files.new_key("abc")


def test_a_part_file_that_is_taken_for_a_dead_one_is_opened_anew(
    tmp_path: Path,
) -> None:
    files = InstanceFiles(tmp_path)
    files.begin().discard()
    ended = threading.Event()

    def clear_up() -> None:
        while not ended.is_set():
            for path in (tmp_path / PARTS).iterdir():
                with contextlib.suppress(OSError), path.open("rb") as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()

    thread = threading.Thread(target=clear_up)
    thread.start()
    try:
        for _ in range(3000):
            part = files.begin()
            part.write([b"bytes"])
            part.discard()
    finally:
        ended.set()
        thread.join()
