"""Keys come back by folder, all of them, and few stay in memory."""

import hashlib
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from dicom_node.store.keys import KeyBuckets


def _keys(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


@pytest.mark.parametrize("place", ["here", "nowhere"])
@pytest.mark.parametrize("count", [0, 1, 256, 20_000])
def test_every_key_comes_back_with_its_folder(
    tmp_path: Path, count: int, place: str
) -> None:
    keys = _keys(count)
    expected = defaultdict[str, set[bytes]](set)
    for key in keys:
        expected[key[:1]].add(bytes.fromhex(key))
    folder = tmp_path if place == "here" else tmp_path / "nowhere"
    with closing(
        KeyBuckets(keys, folder=folder, folder_of=lambda key: key[:1])
    ) as buckets:
        assert buckets.folders == set(expected)
        for name in buckets.folders:
            assert buckets.of_folder(name) == expected[name]
        assert buckets.of_folder("zz") == set()
    assert list(tmp_path.iterdir()) == []


def test_what_was_read_does_not_stay_in_memory(tmp_path: Path) -> None:
    keys = _keys(50_000)
    with closing(
        KeyBuckets(keys, folder=tmp_path, folder_of=lambda key: key[:1])
    ) as buckets:
        held = sum(len(last) for last in vars(buckets)["_last"].values())
        assert held < 32 * len(keys)
        assert held <= 16 * 8192
