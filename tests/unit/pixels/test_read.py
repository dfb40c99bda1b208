"""Opening: frames found, nothing read that is not asked for, lies refused."""

import logging
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless

from dicom_node.core.errors import PixelError
from inference.pixels.codecs import decodable_transfer_syntaxes
from inference.pixels.decode import decode_frame
from inference.pixels.frames import PixelLimits, open_image
from tests.unit.pixels.images import plane, show, write_image

FRAMES = [np.full((8, 8), value, np.uint8) for value in (10, 20, 30)]
CODED = [bytes(imagecodecs.jpegls_encode(frame)) for frame in FRAMES]
HEADER = {
    "Rows": 8, "Columns": 8, "SamplesPerPixel": 1, "BitsAllocated": 8,
    "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "NumberOfFrames": 3,
}  # fmt: skip


def encapsulated(path: Path, pixel_data: bytes, **attributes: Any) -> Path:
    """Write three JPEG-LS frames, encapsulated as given."""
    write_image(path, b"", frames=[b"\0\0"], syntax=JPEGLSLossless, **HEADER)
    dataset = dcmread(path)
    dataset.PixelData = pixel_data
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def values(path: Path) -> list[int]:
    source = open_image(path)
    return [int(decode_frame(source, i).values[0, 0]) for i in range(3)]


@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("has_table", [True, False])
def test_frames_are_found_with_and_without_an_offset_table(
    tmp_path: Path, fragments: int, has_table: bool
) -> None:
    data = encapsulate(CODED, fragments_per_frame=fragments, has_bot=has_table)
    assert values(encapsulated(tmp_path / "a", data)) == [10, 20, 30]


def test_the_extended_offset_table_and_a_missing_delimiter_are_read(
    tmp_path: Path,
) -> None:
    data, offsets, lengths = encapsulate_extended(CODED)
    path = encapsulated(
        tmp_path / "a", data, ExtendedOffsetTable=offsets,
        ExtendedOffsetTableLengths=lengths,
    )  # fmt: skip
    assert values(path) == [10, 20, 30]
    content = path.read_bytes()
    assert content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    path.write_bytes(content[:-8])
    assert values(path) == [10, 20, 30]


def test_an_offset_table_that_points_nowhere_is_not_believed(tmp_path: Path) -> None:
    data = bytearray(encapsulate(CODED, fragments_per_frame=2))
    data[12:16] = (7777).to_bytes(4, "little")
    assert values(encapsulated(tmp_path / "a", bytes(data))) == [10, 20, 30]


def test_a_delimiter_inside_a_fragment_ends_nothing(tmp_path: Path) -> None:
    marker = b"\xff\xfe\x00\x0c" + b"\xfe\xff\xdd\xe0\0\0\0\0" + b"\0\0"
    coded = [frame[:2] + marker + frame[2:] for frame in CODED]
    assert values(encapsulated(tmp_path / "a", encapsulate(coded))) == [10, 20, 30]


@pytest.mark.parametrize("count", [2, 4, 999])
def test_number_of_frames_that_the_fragments_do_not_make_up_is_refused(
    tmp_path: Path, count: int
) -> None:
    data = encapsulate(CODED, has_bot=False)
    path = encapsulated(tmp_path / "a", data, NumberOfFrames=count)
    with pytest.raises(PixelError, match="NumberOfFrames"):
        open_image(path)


def test_offsets_of_more_frames_than_the_header_knows_are_refused(
    tmp_path: Path,
) -> None:
    path = encapsulated(tmp_path / "a", encapsulate(CODED), NumberOfFrames=1)
    with pytest.raises(PixelError, match="NumberOfFrames"):
        open_image(path)


@pytest.mark.parametrize("cut", [1, 20, 60, 150])
def test_a_file_that_is_broken_off_is_refused(tmp_path: Path, cut: int) -> None:
    path = encapsulated(tmp_path / "a", encapsulate(CODED))
    path.write_bytes(path.read_bytes()[: -cut - 8])
    with pytest.raises(PixelError, match="Pixel Data"):
        show(path, frame_number=3)


def test_one_frame_of_many_costs_the_memory_of_one(tmp_path: Path) -> None:
    frames, size = 200, 256
    pixels = np.zeros((frames, size, size), np.uint16)
    pixels[150] = 7
    path = write_image(
        tmp_path / "a", pixels.tobytes(), Rows=size, Columns=size,
        SamplesPerPixel=1, BitsAllocated=16, BitsStored=16, HighBit=15,
        PixelRepresentation=0, NumberOfFrames=frames,
    )  # fmt: skip
    show(path)  # imports and caches are not what is measured
    tracemalloc.start()
    frame = plane(path, frame_number=151)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert frame == pytest.approx(7 / 65535)
    assert peak < 20 * size * size * 2 < pixels.nbytes / 9


@pytest.mark.parametrize("frame_number", [0, -1, 4])
def test_a_frame_that_is_not_there_is_refused(
    tmp_path: Path, frame_number: int
) -> None:
    path = encapsulated(tmp_path / "a", encapsulate(CODED))
    with pytest.raises(PixelError, match="no frame"):
        show(path, frame_number=frame_number)


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"Rows": 0}, "Rows"),
        ({"Columns": None}, "Columns"),
        ({"BitsAllocated": 12}, "BitsAllocated"),
        ({"BitsStored": 17}, "BitsStored"),
        ({"HighBit": 16}, "HighBit"),
        ({"HighBit": 3}, "HighBit"),
        ({"PixelRepresentation": 2}, "PixelRepresentation"),
        ({"SamplesPerPixel": 3}, "SamplesPerPixel"),
        ({"PhotometricInterpretation": ""}, "PhotometricInterpretation"),
        ({"NumberOfFrames": 2}, "NumberOfFrames"),
        ({"NumberOfFrames": 2**31 - 1}, "NumberOfFrames"),
        ({"Rows": 65535, "Columns": 65535}, "limit"),
    ],
)
def test_attributes_that_cannot_be_are_named(
    tmp_path: Path, attributes: dict[str, Any], named: str
) -> None:
    path = write_image(tmp_path / "a", np.zeros((8, 8), np.uint16), **attributes)
    with pytest.raises(PixelError, match=named):
        open_image(path)


def test_more_pixels_than_claimed_are_taken_as_padding(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a", np.full((9, 8), 5, np.uint8), Rows=8)
    assert plane(path).shape == (8, 8)


def test_number_of_frames_zero_or_empty_is_one_frame(tmp_path: Path) -> None:
    for count in (0, None):
        path = write_image(
            tmp_path / "a", np.zeros((8, 8), np.uint8), NumberOfFrames=count
        )
        assert open_image(path).number_of_frames == 1


def test_a_deflated_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", np.zeros((8, 8), np.uint8),
        syntax=DeflatedExplicitVRLittleEndian,
    )  # fmt: skip
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(32 << 20)) + packer.flush()
    content = path.read_bytes()
    meta_length = int.from_bytes(content[140:144], "little")
    path.write_bytes(content[: 144 + meta_length] + bomb)
    with pytest.raises(PixelError, match="inflates beyond the limit"):
        open_image(path, limits=PixelLimits(inflated_bytes=1 << 20))


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL"),
        ("1.2.840.10008.1.2.4.100", "MPEG2"),
        ("1.2.840.10008.1.2.8.1", "Deflated Image Frame"),
        ("1.2.3.4.5", "unregistered"),
    ],
)
def test_a_transfer_syntax_that_cannot_be_decoded_is_named(
    tmp_path: Path, syntax: str, name: str
) -> None:
    path = write_image(tmp_path / "a", np.zeros((8, 8), np.uint8))
    content = path.read_bytes()
    wanted = syntax.encode() + b"\0" * (len(syntax) % 2)
    old = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    new = b"\x02\x00\x10\x00UI" + len(wanted).to_bytes(2, "little") + wanted
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(PixelError, match=name):
        open_image(path)


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 128 + b"DICM", b"x" * 999])
def test_what_is_not_dicom_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(PixelError):
        open_image(path)
    with pytest.raises(PixelError, match="cannot be read"):
        open_image(tmp_path / "missing")


def test_no_value_of_the_data_set_leaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    private = "SECRET^NAME"
    spoiled: list[dict[str, Any]] = [
        {"WindowCenter": private, "WindowWidth": "8"},
        {"RescaleSlope": private},
        {"PhotometricInterpretation": private},
        {"VOILUTFunction": private, "WindowCenter": "4", "WindowWidth": "8"},
        {"NumberOfFrames": private},
    ]
    caplog.set_level(logging.DEBUG)
    for attributes in spoiled:
        path = tmp_path / "a"
        pixels = np.zeros((8, 8), np.uint8)
        if set(attributes) & {"WindowCenter", "RescaleSlope", "NumberOfFrames"}:
            # pydicom does not write such a value, so it is put in afterwards.
            fill: dict[str, Any] = dict.fromkeys(attributes, "12345678901")
            if "VOILUTFunction" in attributes:
                fill |= {"VOILUTFunction": private}
            write_image(path, pixels, **fill)
            path.write_bytes(
                path.read_bytes().replace(b"12345678901", private.encode())
            )
        else:
            write_image(path, pixels, **attributes)
        caplog.clear()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with pytest.raises(PixelError) as caught:
                show(path)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        for told in (str(caught.value), caplog.text, *map(str, seen)):
            assert "SECRET" not in told


def test_the_list_of_transfer_syntaxes_is_whole_and_costs_no_import() -> None:
    assert len(decodable_transfer_syntaxes()) == 16
    code = (
        "import sys; from inference.pixels.codecs import decodable_transfer_syntaxes; "
        "assert decodable_transfer_syntaxes(); "
        "print([m for m in ('torch', 'numpy', 'pydicom', 'imagecodecs') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_decoding_and_windowing_import_no_torch() -> None:
    code = "import sys, inference.pixels.frames; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_manual_lists_the_transfer_syntaxes_that_are_decoded() -> None:
    manual = (Path(__file__).parents[3] / "docs/pixels.md").read_text()
    table = manual.split("| decoded | UID |")[1].split("\n\n")[0]
    listed = {word.strip("|, ") for word in table.split() if word.startswith("1.2.8")}
    assert listed == set(decodable_transfer_syntaxes())
