"""Headers that are recognised are read as those that are scanned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sequence import Sequence

from dicom_node.core.errors import PixelError
from dicom_node.core.ids import SOPClassUID, SOPInstanceUID
from dicom_node.core.types import InputFile, RoutingHeader
from inference.api import InputSpec, Window
from inference.pixels.fused import show_frame
from inference.pixels.layout import PixelLimits
from inference.pixels.raw import read_frame
from inference.pixels.read import FrameSource, open_image
from inference.volume_planes import planes_of
from tests.unit.pixels.images import item, plane, write_image

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
SPEC = InputSpec(size=(8, 8), windowing="file", windowing_fallback="full_range")
_TRIES = 5  # a way of lying is remembered when it has come twice


def write_slice(folder: Path, number: int, **attributes: Any) -> Path:
    """Write one of many images that differ in what each has of its own."""
    content: dict[str, Any] = {
        "SOPInstanceUID": f"1.2.826.0.1.{1000 + number}",
        "SeriesInstanceUID": "1.2.826.0.1.7",
        "InstanceNumber": 10 + number,
        "ImagePositionPatient": [-1.5, 2.5, 10 + number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "WindowCenter": 40,
        "WindowWidth": 90,
    }
    values = np.arange(64, dtype="<u2").reshape(8, 8) + number
    path = folder / f"{number}.dcm"
    return write_image(path, values, **(content | attributes))


def opened(path: Path) -> FrameSource:
    """Open an image often enough for its way of lying to be known."""
    for _ in range(_TRIES):
        source = open_image(path)
    return source


def window_of(path: Path) -> str:
    raw = read_frame(open_image(path), 1, SPEC)
    return f"{raw.recipe.curves[0]} {raw.recipe.padding} {raw.windowing}"


def file_of(path: Path, *types: str) -> InputFile:
    return InputFile(
        sop_instance_uid=SOPInstanceUID("1.2"),
        sop_class_uid=SOPClassUID("1.2"),
        path=path,
        header=RoutingHeader(image_type=types),
    )


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_values_of_recognised_headers_are_those_that_pydicom_reads(
    tmp_path: Path, syntax: str
) -> None:
    for number in range(6):
        path = write_slice(tmp_path, number, syntax=syntax)
        source, theirs = open_image(path), dcmread(path)
        for tag in source.dataset.keys():  # noqa: SIM118 - its own iteration is another
            assert source.dataset[tag].value == theirs[tag].value
            assert source.dataset[tag].VR == theirs[tag].VR
        assert source.pixels.read(0, source.pixels.length) == theirs.PixelData
    assert source.alike is not None


def test_another_window_in_a_series_is_not_the_window_of_the_images_before(
    tmp_path: Path,
) -> None:
    narrow = write_slice(tmp_path, 1)
    wide = write_slice(tmp_path, 2, WindowWidth=95)
    opened(narrow)
    assert window_of(narrow) != window_of(wide)
    assert window_of(narrow) == window_of(narrow)


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": 2, "RescaleIntercept": 1},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PixelPaddingValue": 3},
        {"VOILUTFunction": "SIGMOID"},
        {"PresentationLUTShape": "INVERSE"},
    ],
)
def test_what_an_image_shows_follows_from_its_own_header(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    plain, other = write_slice(tmp_path, 1), write_slice(tmp_path, 2, **attributes)
    for path in (plain, other) * _TRIES:
        shown = show_frame(read_frame(open_image(path), 1, SPEC))[0]
        assert np.abs(shown - plane(path, SPEC)).max() < 1e-5
    assert np.abs(plane(plain, SPEC) - plane(other, SPEC)).max() > 1e-3


def test_two_models_do_not_share_a_recipe(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 1)
    source = opened(path)
    window = Window(center=20, width=11)
    of_card = replace(SPEC, windowing="model", windows=(window,))
    by_file, by_card = (read_frame(source, 1, spec) for spec in (SPEC, of_card))
    assert by_file.windowing == "file window LINEAR"
    assert by_card.windowing == "model window"
    assert by_file.recipe != by_card.recipe
    assert read_frame(source, 1, of_card).recipe is by_card.recipe


def test_percentiles_are_those_of_each_image(tmp_path: Path) -> None:
    spec = replace(SPEC, windowing="percentile")
    recipes = []
    for number in range(4):
        source = opened(write_slice(tmp_path, 10 * number))
        recipes.append(read_frame(source, 1, spec).recipe)
    assert len(set(map(repr, recipes))) == len(recipes)


def test_a_sequence_walked_through_is_compared_as_a_whole(tmp_path: Path) -> None:
    paths = []
    for number, code in enumerate(("11", "22")):
        sequence = Sequence([item(CodeValue=code, CodingSchemeDesignator="DCM")])
        path = write_slice(tmp_path, number, ProcedureCodeSequence=sequence)
        dataset = dcmread(path)
        dataset["ProcedureCodeSequence"].is_undefined_length = True
        dataset.save_as(path)
        paths.append(path)
    opened(paths[0])
    assert open_image(paths[1]).alike is None
    assert dcmread(paths[1]).InstanceNumber == 11
    assert int(open_image(paths[1]).dataset.InstanceNumber) == 11


def test_limits_hold_for_images_that_lie_like_others(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 1)
    opened(path)
    with pytest.raises(PixelError, match="above the limit of 16 bytes"):
        open_image(path, limits=PixelLimits(frame_bytes=16))
    opened(path)


def test_an_image_that_is_broken_off_is_refused_though_its_header_is_known(
    tmp_path: Path,
) -> None:
    path = write_slice(tmp_path, 1)
    opened(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(PixelError, match="shorter than"):
        open_image(path)
    path.write_bytes(whole[:200])
    with pytest.raises(PixelError):
        open_image(path)


def test_each_image_keeps_its_own_place_and_file(tmp_path: Path) -> None:
    for number in range(5):
        path = write_slice(tmp_path, number)
        file = file_of(path, "ORIGINAL")
        (found,) = planes_of(file, opened(path))
        assert found.origin == (-1.5, 2.5, 10.0 + number)
        assert found.file is file
        assert found.frame_type == ("ORIGINAL",)


def test_the_type_of_a_plane_is_that_of_its_own_file(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 1)
    source = opened(path)
    kinds = [planes_of(file_of(path, kind), source)[0] for kind in ("A", "B", "A")]
    assert [plane.frame_type for plane in kinds] == [("A",), ("B",), ("A",)]
