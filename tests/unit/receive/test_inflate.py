"""Deflated data sets are inflated in bounded memory, or not at all."""

import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_node.core.errors import CannotUnderstand, OutOfResources
from dicom_node.receive.inflate import inflated
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.scan import scan
from dicom_node.receive.view import DatasetView
from tests.unit.receive.build import (
    DEFLATED,
    encode,
    image,
    long_element,
    mapped_view,
    scan_bytes,
)

LIMITS = ScanLimits()
MIB = 1 << 20


def deflate(*blocks: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    return b"".join([*(packer.compress(block) for block in blocks), packer.flush()])


def large_image(*, tail: bytes = b"") -> bytes:
    """An image of 48 MiB of zeros, deflated."""
    head = encode(image(Rows=4096, Columns=6144, PixelData=b""))
    head = head[: head.index(b"\xe0\x7f\x10\x00")]
    pixels = long_element(0x7FE00010, b"OW", b"", length=48 * MIB)
    return deflate(head, pixels, *(bytes(MIB) for _ in range(48)), tail)


@pytest.mark.parametrize("sent", [b"", b"\x07", b"no deflate stream", b"\x4b\x4c"])
def test_a_broken_deflate_stream_is_refused(sent: bytes) -> None:
    with pytest.raises(CannotUnderstand):
        scan_bytes(sent, DEFLATED)


def test_a_stream_that_is_cut_anywhere_is_refused() -> None:
    sent = deflate(encode(image(PixelData=bytes(range(48)))))
    assert scan_bytes(sent, DEFLATED)
    for cut in range(len(sent)):
        with pytest.raises(CannotUnderstand, match=r"cut off|not deflated"):
            scan_bytes(sent[:cut], DEFLATED)


def test_what_pads_the_stream_is_taken() -> None:
    assert scan_bytes(deflate(encode(image())) + b"\0", DEFLATED)


@pytest.mark.parametrize(
    ("megabytes", "limits"),
    [(70, LIMITS), (3, ScanLimits(max_inflated_bytes=2 * MIB))],
)
def test_a_bomb_is_refused_before_it_is_inflated(
    megabytes: int, limits: ScanLimits
) -> None:
    sent = deflate(*(bytes(MIB) for _ in range(megabytes)))
    with pytest.raises(CannotUnderstand, match="inflates past the limit"):
        scan_bytes(sent, DEFLATED, limits)


def test_an_inflated_image_takes_neither_memory_nor_disk(tmp_path: Path) -> None:
    sent = large_image()
    limits = replace(LIMITS, folder=tmp_path, min_free_bytes=1 << 62)
    tracemalloc.start()
    try:
        scanned = scan_bytes(sent, DEFLATED, limits)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert scanned.pixels[0].end - scanned.pixels[0].start == 48 * MIB
    assert peak < 3 * MIB


def test_what_follows_the_pixels_is_looked_at_on_disk(tmp_path: Path) -> None:
    sent = large_image(tail=long_element(0xFFFCFFFC, b"OB", bytes(6)))
    limits = replace(LIMITS, folder=tmp_path)
    tracemalloc.start()
    try:
        assert scan(mapped_view(sent, 0), DEFLATED, limits).pixels
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * MIB
    assert list(tmp_path.iterdir()) == []
    broken = large_image(tail=b"\x31\0\0")
    with pytest.raises(CannotUnderstand, match="cut off"):
        scan_bytes(broken, DEFLATED, limits)


def test_without_space_on_the_disk_the_sender_comes_again(tmp_path: Path) -> None:
    sent = large_image(tail=long_element(0xFFFCFFFC, b"OB", bytes(6)))
    limits = replace(LIMITS, folder=tmp_path, min_free_bytes=1 << 62)
    with pytest.raises(OutOfResources):
        scan_bytes(sent, DEFLATED, limits)


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, MIB])
def test_the_inflated_bytes_are_those_that_were_deflated(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    view = inflated(DatasetView.of_bytes(deflate(content)), LIMITS)
    assert view.size_bytes == size
    assert content.startswith(view.head)
    if size:
        with view.whole() as whole:
            assert whole == content
