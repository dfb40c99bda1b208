"""Small files that ask for much: refused before memory or time is spent."""

import resource
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from dicom_node.core.errors import PixelError
from inference.pixels.decode import decode_frame
from inference.pixels.read import open_image
from tests.unit.pixels.images import show, write_image

HEADER: dict[str, Any] = {
    "Rows": 32, "Columns": 32, "SamplesPerPixel": 1, "BitsAllocated": 8,
    "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0,
}  # fmt: skip
IMAGE = np.arange(1024, dtype=np.uint8).reshape(32, 32)


@pytest.fixture(autouse=True)
def _within_seconds() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


def decode(path: Path) -> None:
    """Open and decode the first frame."""
    decode_frame(open_image(path), 0)


def test_a_million_empty_fragments_are_refused_early(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", b"", frames=[b"\0\0"], syntax=JPEGLSLossless, **HEADER
    )
    content = path.read_bytes()
    begin = content.index(b"\xfe\xff\x00\xe0")
    path.write_bytes(content[:begin] + b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000)
    with pytest.raises(PixelError, match="more than 65540 fragments"):
        open_image(path)


def test_fragments_that_no_coding_could_need_are_not_read(tmp_path: Path) -> None:
    coded = bytes(imagecodecs.jpegls_encode(IMAGE))
    path = write_image(
        tmp_path / "a", b"", frames=[coded[:-2] + bytes(5 << 20) + coded[-2:]],
        syntax=JPEGLSLossless, **HEADER,
    )  # fmt: skip
    with pytest.raises(PixelError, match="fragments of more than"):
        decode(path)


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path: Path) -> None:
    coded = bytes(imagecodecs.jpeg8_encode(IMAGE))
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    path = write_image(
        tmp_path / "a", b"", frames=[coded[:-2] + scan * 5000 + coded[-2:]],
        syntax=JPEGBaseline8Bit, **HEADER,
    )  # fmt: skip
    with pytest.raises(PixelError, match="scans"):
        decode(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({6: b"\xff\xff"}, "layers"),  # SGcod: layers
        ({6: b"\x00\x00"}, "layers"),
        ({9: b"\x21"}, "broken header"),  # 33 levels of decomposition
        ({10: b"\x08\x08"}, "broken header"),  # code-blocks of 1024 x 1024
    ],
)
def test_a_coding_style_that_takes_for_ever_is_refused(
    tmp_path: Path, change: dict[int, bytes], told: str
) -> None:
    coded = bytearray(imagecodecs.jpeg2k_encode(IMAGE, codecformat="J2K"))
    cod = coded.index(b"\xff\x52")
    for offset, value in change.items():
        coded[cod + offset : cod + offset + len(value)] = value
    path = write_image(
        tmp_path / "a", b"", frames=[bytes(coded)], syntax=JPEG2000Lossless, **HEADER
    )
    with pytest.raises(PixelError, match=told):
        decode(path)


def test_millions_of_precincts_are_refused(tmp_path: Path) -> None:
    image = np.zeros((2048, 2048), np.uint8)
    coded = bytes(imagecodecs.jpeg2k_encode(image, codecformat="J2K", resolutions=1))
    cod = coded.index(b"\xff\x52")
    (length,) = struct.unpack_from(">H", coded, cod + 2)
    levels = coded[cod + 9]
    segment = bytearray(coded[cod : cod + 2 + length] + b"\x11" * (levels + 1))
    segment[4] |= 1  # precincts are given: 2 x 2
    struct.pack_into(">H", segment, 2, length + levels + 1)
    spoiled = coded[:cod] + bytes(segment) + coded[cod + 2 + length :]
    path = write_image(
        tmp_path / "a", b"", frames=[spoiled], syntax=JPEG2000Lossless,
        **HEADER | {"Rows": 2048, "Columns": 2048},
    )  # fmt: skip
    with pytest.raises(PixelError, match="precincts"):
        decode(path)


def test_a_segmented_palette_that_copies_nothing_is_refused(tmp_path: Path) -> None:
    # 65535 copies of an empty segment, 20,000 times over.
    words = [0, 0, *[2, 65535, 0, 0] * 20_000]
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        attributes[f"{name}Descriptor"] = [256, 0, 16]
        attributes[f"Segmented{name}Data"] = np.array(words, "<u2").tobytes()
    path = write_image(tmp_path / "a", IMAGE, **attributes)
    with pytest.raises(PixelError, match="palette"):
        show(path)


_MEASURE = """
import resource, sys
from pathlib import Path
from dicom_node.core.errors import PixelError
from inference.pixels.decode import decode_frame
from inference.pixels.layout import PixelLimits
from inference.pixels.read import open_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    limits = PixelLimits(inflated_bytes=64 << 20)
    decode_frame(open_image(Path(sys.argv[1]), limits=limits), 0)
    print("decoded")
except PixelError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _measured(path: Path) -> tuple[str, int]:
    """Decode in a process of 4 GiB: what it says, and its growth in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path)],
        capture_output=True, text=True, check=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_AS, (4 << 30, 4 << 30)
        ),
    )  # fmt: skip
    told, growth = done.stdout.splitlines()
    return told, int(growth)


@pytest.mark.parametrize("codec", ["jpeg", "jpegls", "jpeg2k", "htj2k"])
def test_a_gigapixel_codestream_costs_no_memory(tmp_path: Path, codec: str) -> None:
    from tests.conformance.pixel_fuzz import SEEDS, write_case

    coded = bytearray(SEEDS[codec][3]())
    if codec in ("jpeg2k", "htj2k"):
        struct.pack_into(">2I", coded, 8, 60_000, 60_000)
        struct.pack_into(">2I", coded, 24, 60_000, 60_000)
    else:
        marker = coded.index(b"\xff\xf7" if codec == "jpegls" else b"\xff\xc0")
        struct.pack_into(">2H", coded, marker + 5, 60_000, 60_000)
    write_case(tmp_path / "a", codec, bytes(coded))
    told, growth = _measured(tmp_path / "a")
    assert "Rows and Columns are not those of the codestream" in told
    assert growth < 100_000


def test_a_deflate_bomb_costs_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a", IMAGE, syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    meta_length = int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(16 << 20)) for _ in range(16))
    path.write_bytes(content[: 144 + meta_length] + bomb + packer.flush())
    told, growth = _measured(path)
    assert "inflates beyond the limit" in told
    assert growth < 150_000
