"""After a crash the folder and the rows agree again."""

import fcntl
from collections.abc import Iterable
from pathlib import Path

import pytest

from dicom_node.core.errors import CannotUnderstand, DatabaseError
from dicom_node.store import reconcile as reconciling
from dicom_node.store.files import PARTS, FileStore
from dicom_node.store.instances import InstanceFiles
from dicom_node.store.reconcile import QUARANTINE, Adopt, ReconcileReport


def reconcile(
    store: FileStore,
    known_keys: Iterable[str],
    adopt: Adopt,
    *,
    recorded: Iterable[str] = (),
) -> ReconcileReport:
    """Reconcile; `recorded` got their rows since `known_keys` were read."""
    return reconciling.reconcile(
        store,
        known_keys,
        adopt,
        recorded_keys=lambda keys: frozenset(keys) & frozenset(recorded),
    )


def refuse(_key: str, _path: Path) -> bool:
    raise CannotUnderstand("no data set")


def test_a_dead_part_file_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    path = store.path(store.put(b"whole"))
    dead, used = path.with_suffix(".a.part"), path.with_suffix(".b.part")
    dead.write_bytes(b"ha")
    with used.open("wb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        report = reconcile(store, [path.stem], refuse)
        assert report.parts_removed == 1
        assert not dead.exists()
        assert used.exists()


def test_a_file_without_a_row_is_adopted(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    known, orphan = store.put(b"known"), store.put(b"orphan")
    adopted: list[tuple[str, Path]] = []

    def adopt(key: str, path: Path) -> bool:
        adopted.append((key, path))
        return True

    report = reconcile(store, [known], adopt)
    assert adopted == [(orphan, store.path(orphan))]
    assert report.adopted == 1


def test_a_file_whose_bytes_are_kept_in_another_one_goes(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = store.put(b"the same again")
    report = reconcile(store, [], lambda key, path: False)
    assert (report.adopted, report.repeats) == (0, 1)
    assert not store.path(key).exists()


def test_what_a_crash_left_among_the_parts_goes(tmp_path: Path) -> None:
    files = InstanceFiles(tmp_path)
    part = files.begin()
    part.write([b"half a data set"])
    assert reconcile(files, [], refuse).parts_removed == 0, "its writer lives"
    left = tmp_path / PARTS / "left.part"
    left.write_bytes(b"half")
    assert reconcile(files, [], refuse).parts_removed == 1
    assert not left.exists()
    part.discard()
    assert list((tmp_path / PARTS).iterdir()) == []


def test_a_file_that_cannot_be_adopted_is_quarantined_once(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = store.put(b"nothing")
    assert reconcile(store, [], refuse).quarantined == 1
    assert not store.path(key).exists()
    assert (tmp_path / QUARANTINE / f"{key}.dcm").read_bytes() == b"nothing"
    assert reconcile(store, [], refuse).quarantined == 0


def test_a_database_that_is_down_quarantines_nothing(tmp_path: Path) -> None:
    def down(_key: str, _path: Path) -> bool:
        raise DatabaseError("locked")

    store = FileStore(tmp_path)
    key = store.put(b"good")
    with pytest.raises(DatabaseError):
        reconcile(store, [], down)
    assert store.path(key).exists()


def test_a_row_without_its_file_is_reported(tmp_path: Path) -> None:
    report = reconcile(FileStore(tmp_path / "none"), ["ab" * 32], refuse)
    assert report.missing == 1


def test_a_file_that_got_its_row_meanwhile_is_not_quarantined(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = store.put(b"recorded after the walk began")
    report = reconcile(store, [], refuse, recorded=[key])
    assert report.quarantined == 0
    assert store.path(key).exists()


def test_a_file_that_somebody_has_is_not_unused(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = store.put(b"whole")
    with store.unused(key) as mine, store.unused(key) as theirs:
        assert (mine, theirs) == (True, False)
    store.delete(key)
    with store.unused(key) as gone:
        assert not gone
