"""Bundles on disk: found, listed, verified and added."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom_node.core.errors import BundleError
from inference.bundle import (
    add_bundle,
    find_bundle,
    list_bundles,
    shipped_folder,
    stamp_bundle,
    verify_bundle,
)
from tests.unit.inference.cards import make_bundle, make_card, write_bundle


def test_a_bundle_is_found_by_its_name(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    assert find_bundle("m", tmp_path) == card
    assert verify_bundle(card.folder) == []


@pytest.mark.parametrize("name", ["../m", "/m", "", ".", "..", "a/b", ".m", "m\n"])
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    make_bundle(tmp_path / "m")
    with pytest.raises(BundleError, match="a model's name takes"):
        find_bundle(name, tmp_path / "sub")


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    make_bundle(tmp_path / "m")
    with pytest.raises(BundleError, match=r"known: .*\bm\b"):
        find_bundle("n", tmp_path)
    with pytest.raises(BundleError, match=r"models\.folder is not set"):
        find_bundle("n", None)


def test_the_list_names_the_fault_of_a_broken_bundle(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "good")
    (tmp_path / "broken").mkdir()
    (tmp_path / ".part-x").mkdir()
    make_bundle(tmp_path / "other").folder.rename(tmp_path / "renamed")
    listed = {item.name: item for item in list_bundles(tmp_path) if not item.shipped}
    assert sorted(listed) == ["broken", "good", "renamed"]
    assert listed["good"].card == card
    assert "card.toml cannot be read" in listed["broken"].fault
    assert "must be the same" in listed["renamed"].fault


def test_every_shipped_bundle_has_a_card_without_faults() -> None:
    shipped = list_bundles(None)
    assert shipped_folder().name == "bundles"
    assert [item.fault for item in shipped if item.fault] == []


def test_verify_names_every_fault(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    (card.folder / "old.pt").write_bytes(pickle.dumps({}))
    card.weights_path.write_bytes(card.weights_path.read_bytes() + b"x")
    faults = verify_bundle(card.folder)
    assert len(faults) == 3
    assert faults[0].startswith("old.pt:")
    assert "has sha256" in faults[1]
    assert "cannot be parsed" in faults[2]


def test_verify_tries_the_model(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    write_bundle(replace(card, architecture="test_convnext", arch_options=()))
    assert "does not fit the architecture" in verify_bundle(card.folder)[0]


def test_an_added_bundle_is_a_whole_copy(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "source" / "m")
    (card.folder / "LICENCE").write_text("MIT")
    (card.folder / "sub").mkdir()
    target = tmp_path / "models"
    added = add_bundle(card.folder, target)
    assert added == find_bundle("m", target) == replace(card, folder=target / "m")
    assert [path.name for path in target.iterdir()] == ["m"]
    assert sorted(path.name for path in (target / "m").iterdir()) == [
        "LICENCE", "card.toml", "weights.safetensors",
    ]  # fmt: skip
    with pytest.raises(BundleError, match="already is a model 'm'"):
        add_bundle(card.folder, target)


def test_a_bundle_with_faults_is_not_added(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    card = make_card(folder, name="m")
    card.weights_path.write_bytes(b"no weights at all")
    write_bundle(card)
    with pytest.raises(BundleError, match="cannot be parsed"):
        add_bundle(folder, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "card.toml"])
def test_what_is_no_plain_file_is_refused_and_never_read(
    tmp_path: Path, name: str
) -> None:
    folder = make_bundle(tmp_path / "m").folder
    (folder / name).unlink()
    os.mkfifo(folder / name)  # opening it waits for a writer
    assert f"{name} cannot be read: it is no plain file" in str(verify_bundle(folder))
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/null")
    assert f"{name} cannot be read: it is no plain file" in str(verify_bundle(folder))


def test_weights_larger_than_the_memory_are_refused_before_they_are_read(
    tmp_path: Path,
) -> None:
    card = make_bundle(tmp_path / "m")
    os.truncate(card.weights_path, 1 << 42)  # no block of it is written
    (fault,) = verify_bundle(card.folder)
    assert fault.endswith("it is larger than this machine's memory")


def test_a_link_out_of_a_bundle_is_not_followed_by_add(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    (tmp_path / "secret").write_text("0")
    (card.folder / "notes").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="notes is a link that leads out"):
        add_bundle(card.folder, tmp_path / "models")
    assert not (tmp_path / "models" / "m").exists()
    (card.folder / "notes").unlink()
    card.weights_path.rename(tmp_path / "blob")  # its digest says what it is
    card.weights_path.symlink_to(tmp_path / "blob")
    added = add_bundle(card.folder, tmp_path / "models")
    assert not added.weights_path.is_symlink()


def test_arrays_of_numpy_are_named_for_what_they_are(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    np.savez(tmp_path / "a.npz", head=np.zeros(3))
    (tmp_path / "a.npz").rename(card.weights_path)
    assert "weights.safetensors is an archive of NumPy" in str(
        verify_bundle(card.folder)
    )
    card.weights_path.rename(card.folder / "weights.npz")
    assert "weights.npz: only safetensors are read" in str(verify_bundle(card.folder))


def test_a_stray_link_that_leads_nowhere_stops_no_model(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "m").folder
    before = stamp_bundle(folder)
    (folder / "old-notes").symlink_to("gone")
    assert verify_bundle(folder) == []
    assert set(before) < set(stamp_bundle(folder))
