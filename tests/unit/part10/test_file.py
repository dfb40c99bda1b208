"""A stored file proves that it is what was received."""

import hashlib
from pathlib import Path

import pytest
import xxhash

from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.part10.digest import dataset_digest, name_digest
from dicom_node.part10.file import (
    HEAD_BYTES,
    checked_digest,
    is_named_by_content,
    open_stored,
)
from dicom_node.part10.head import file_head

HEAD = file_head("1.2", "1.2.3", transfer_syntax_uid="1.2", source_ae_title="A")


def stored(folder: Path, dataset: bytes) -> tuple[str, Path]:
    key = name_digest(HEAD, dataset_digest(dataset).digest()) + "0" * 32
    path = folder / key
    path.write_bytes(HEAD + dataset)
    return key, path


def test_a_name_begins_with_the_digest_of_head_and_data_set() -> None:
    digest = xxhash.xxh3_128_digest(b"data set")
    assert name_digest(HEAD, digest) == xxhash.xxh3_128_hexdigest(HEAD + digest)


@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES, HEAD_BYTES + 1, 3 << 20])
def test_a_file_is_read_back(tmp_path: Path, size: int) -> None:
    dataset = bytes(range(251)) * (size // 251) + bytes(size % 251)
    key, path = stored(tmp_path, dataset)
    file = open_stored(path)
    assert file.size_bytes == size
    assert file.beginning == dataset[:HEAD_BYTES]
    assert checked_digest(key, file) == xxhash.xxh3_128_hexdigest(dataset)
    assert is_named_by_content(key, path)
    assert b"".join(bytes(block) for block in file.blocks()) == dataset
    with file.dataset() as view:
        assert view == dataset


@pytest.mark.parametrize("size", [1, (1 << 18) - len(HEAD), 1 << 18, 3 << 20])
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_changed_bit_of_any_block_is_found_without_keeping_it(
    tmp_path: Path, size: int, where: str
) -> None:
    key, path = stored(tmp_path, bytes(size))
    content = bytearray(path.read_bytes())
    content[len(HEAD) if where == "first" else -1] ^= 1
    path.write_bytes(content)
    assert not is_named_by_content(key, path)
    path.write_bytes(content[:-1])
    assert not is_named_by_content(key, path)


@pytest.mark.parametrize("position", [0, 200, len(HEAD), -1])
def test_a_changed_bit_is_found(tmp_path: Path, position: int) -> None:
    key, path = stored(tmp_path, b"data set")
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(CannotUnderstand):
        checked_digest(key, open_stored(path))


def test_a_file_that_was_cut_or_is_empty_is_found(tmp_path: Path) -> None:
    key, path = stored(tmp_path, b"data set")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CannotUnderstand):
        checked_digest(key, open_stored(path))
    path.write_bytes(b"")
    with pytest.raises(CannotUnderstand):
        open_stored(path)


def test_a_file_that_is_gone_or_changes_is_a_store_error(tmp_path: Path) -> None:
    key, path = stored(tmp_path, b"data set")
    file = open_stored(path)
    path.write_bytes(b"")
    with pytest.raises(StoreError), file.dataset():
        pass
    path.unlink()
    with pytest.raises(StoreError):
        checked_digest(key, file)
    with pytest.raises(StoreError):
        open_stored(path)
    with pytest.raises(StoreError):
        open_stored(tmp_path)


def test_what_was_named_by_sha256_is_still_known(tmp_path: Path) -> None:
    content = HEAD + b"kept by version 0.1"
    key = hashlib.sha256(content).hexdigest()
    path = tmp_path / key
    path.write_bytes(content)
    digest = checked_digest(key, open_stored(path))
    assert digest == xxhash.xxh3_128_hexdigest(b"kept by version 0.1")
