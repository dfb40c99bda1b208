"""Frames for the page, compared with pydicom's own windowing."""

import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dicom_node.core.errors import PixelError
from dicom_node.web.picture_presets import Asked
from dicom_node.web.pictures import (
    PADDING,
    SIDE_MAX,
    draw_picture,
    pack_picture,
    read_picture,
)
from inference.api import Window

RAMP = np.arange(64 * 64, dtype=np.int16).reshape(64, 64) - 1024


def write_image(folder: Path, values: npt.NDArray[Any] = RAMP, **more: object) -> Path:
    """Write an image; an attribute None is left out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    colour = values.ndim == 3
    set_to: dict[str, object] = {
        "Modality": "CT",
        "Rows": values.shape[0],
        "Columns": values.shape[1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": values.dtype.itemsize * 8,
        "BitsStored": values.dtype.itemsize * 8,
        "HighBit": values.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "RescaleSlope": "1",
        "RescaleIntercept": "0",
        "RescaleType": "HU",
        "WindowCenter": "40",
        "WindowWidth": "400",
        **({"PlanarConfiguration": 0} if colour else {}),
        **more,
    }
    for keyword, value in set_to.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = values.tobytes()
    path = folder / "image.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _pixels(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Pillow.open(BytesIO(png)))


def _by_pydicom(path: Path) -> npt.NDArray[np.float64]:
    """Window as pydicom does, onto 0..255."""
    dataset = dcmread(path)
    values = apply_modality_lut(dataset.pixel_array, dataset)
    shown = apply_voi_lut(values, dataset).astype(np.float64)
    bits = int(dataset.BitsStored)  # pydicom windows onto what they hold
    scaled: npt.NDArray[np.float64] = (
        (shown + (1 << (bits - 1))) / ((1 << bits) - 1) * 255
    )
    return scaled


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_files_window_is_drawn_as_pydicom_does(
    function: str, tmp_path: Path
) -> None:
    path = write_image(tmp_path, VOILUTFunction=function)
    drawn = _pixels(draw_picture(read_picture(path, 1, Asked())))
    assert np.abs(drawn.astype(float) - _by_pydicom(path)).max() <= 1


def test_a_voi_lut_is_drawn_as_pydicom_does(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, -1024, 8]
    table = (np.sqrt(np.arange(4096) / 4095) * 255).astype(np.uint8)
    item.LUTData = table.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    item["LUTDescriptor"].VR = "SS"
    path = write_image(tmp_path, VOILUTSequence=[item])
    picture = read_picture(path, 1, Asked())
    drawn = _pixels(draw_picture(picture)).astype(float)
    assert picture.presets[0].curve
    expected = table[(RAMP + 1024).clip(0, 4095)].astype(float)
    # The steepest part lies between two of the curve's points.
    assert np.abs(drawn - expected)[RAMP > -1000].max() <= 2


def test_a_ct_offers_its_own_windows_the_models_and_those_of_ct(tmp_path: Path) -> None:
    path = write_image(
        tmp_path, WindowCenter=["40", "300"], WindowWidth=["400", "1500"]
    )
    asked = Asked(windows=(Window(center=10, width=20),))
    keys = [preset.key for preset in read_picture(path, 1, asked).presets]
    assert keys == [
        *("file-1", "file-2", "model-1", "percentile"),
        *("lung", "soft", "bone", "brain", "full"),
    ]


def test_what_is_no_ct_in_hounsfield_units_has_no_windows_of_ct(tmp_path: Path) -> None:
    path = write_image(tmp_path, Modality="MR", WindowCenter=None, WindowWidth=None)
    picture = read_picture(path, 1, Asked())
    assert [preset.key for preset in picture.presets] == ["percentile", "full"]


def test_monochrome1_is_drawn_with_low_values_white(tmp_path: Path) -> None:
    drawn = _pixels(
        draw_picture(
            read_picture(
                write_image(tmp_path, PhotometricInterpretation="MONOCHROME1"),
                1,
                Asked(),
            ),
            preset="full",
        )
    )
    assert (drawn[0, 0], drawn[-1, -1]) == (255, 0)


def test_padding_is_black_and_does_not_stretch_the_values(tmp_path: Path) -> None:
    values = RAMP.copy()
    values[:8] = -2000
    picture = read_picture(
        write_image(tmp_path, values, PixelPaddingValue=-2000), 1, Asked()
    )
    assert (picture.levels[:8] == PADDING).all()
    assert picture.intercept == values[8:].min()
    for preset in picture.presets:
        assert (_pixels(draw_picture(picture, preset=preset.key))[:8] == 0).all()


def test_levels_give_the_modality_values_back(tmp_path: Path) -> None:
    path = write_image(tmp_path, RescaleSlope="0.5", RescaleIntercept="-7")
    packed = pack_picture(read_picture(path, 1, Asked()))
    length = struct.unpack_from("<I", packed)[0]
    about = json.loads(packed[4 : 4 + length])
    levels = np.frombuffer(packed, "<u2", offset=4 + length).reshape(64, 64)
    values = levels * about["slope"] + about["intercept"]
    assert np.abs(values - (RAMP * 0.5 - 7)).max() < about["slope"]


def test_a_large_image_is_averaged_down_to_what_a_page_shows(tmp_path: Path) -> None:
    values = np.tile(np.array([[0, 1000]], np.int16), (40, 2000))
    picture = read_picture(write_image(tmp_path, values), 1, Asked())
    assert max(picture.levels.shape) == SIDE_MAX
    shown = picture.levels * picture.slope + picture.intercept
    assert abs(float(shown.mean()) - 500) < 1  # the mean of the image stays


def test_pixels_that_are_not_square_are_drawn_as_they_lie_in_the_patient(
    tmp_path: Path,
) -> None:
    path = write_image(tmp_path, PixelSpacing=["2", "1"])
    assert _pixels(draw_picture(read_picture(path, 1, Asked()))).shape == (128, 64)
    path = write_image(tmp_path, PixelAspectRatio=["1", "2"])
    assert _pixels(draw_picture(read_picture(path, 1, Asked()))).shape == (64, 128)


def test_colours_stay_as_they_are(tmp_path: Path) -> None:
    values = np.random.default_rng(5).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    path = write_image(
        tmp_path,
        values,
        Modality="US",
        RescaleSlope=None,
        RescaleIntercept=None,
        RescaleType=None,
        WindowCenter=None,
        WindowWidth=None,
    )
    picture = read_picture(path, 1, Asked())
    assert picture.presets == ()
    assert (_pixels(draw_picture(picture)) == values).all()


@pytest.mark.parametrize("window", [("0", "0"), ("1e400", "10"), ("x", "1")])
def test_a_window_that_is_none_is_not_offered(
    window: tuple[str, str], tmp_path: Path
) -> None:
    path = write_image(tmp_path)
    content = path.read_bytes()
    center, width = window
    for old, new in ((b"DS\x02\x0040", center), (b"DS\x04\x00400 ", width)):
        assert content.count(old) == 1
        value = new.encode() + b" " * (len(new) % 2)
        field = b"DS" + struct.pack("<H", len(value)) + value
        content = content.replace(old, field)
    path.write_bytes(content)
    keys = [preset.key for preset in read_picture(path, 1, Asked()).presets]
    assert "file-1" not in keys
    assert "percentile" in keys


def test_a_flat_image_is_drawn_and_a_frame_that_is_not_there_is_refused(
    tmp_path: Path,
) -> None:
    path = write_image(tmp_path, np.zeros((8, 8), np.int16))
    picture = read_picture(path, 1, Asked())
    assert _pixels(draw_picture(picture)).shape == (8, 8)
    with pytest.raises(PixelError, match="no frame with this number"):
        read_picture(path, 2, Asked())
    with pytest.raises(PixelError, match="no such window preset"):
        draw_picture(picture, preset="nothing")


def test_a_broken_file_says_so_without_its_values(tmp_path: Path) -> None:
    path = write_image(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PixelError, match="shorter than"):
        read_picture(path, 1, Asked())
