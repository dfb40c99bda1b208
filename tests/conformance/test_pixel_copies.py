"""One image in every lossless syntax is one tensor, whoever compressed it."""

import subprocess
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import torch
from pydicom.encaps import encapsulate
from pydicom.uid import UID, HTJ2KLossless, JPEG2000Lossless

from inference.api import InputSpec
from inference.pixels.frames import open_image, windowed_frame
from inference.pixels.fused import to_input
from inference.pixels.prepare import prepare
from inference.pixels.raw import read_frame
from tests.conformance.pixel_references import has_dcmtk
from tests.unit.pixels.images import write_image

SPEC = InputSpec(size=(24, 32), windowing_fallback="full_range")
DCMTK = {
    "explicit": ["dcmconv", "+te"],
    "implicit": ["dcmconv", "+ti"],
    "big endian": ["dcmconv", "+tb"],
    "deflated": ["dcmconv", "+td"],
    "rle": ["dcmcrle"],
    "jpeg lossless": ["dcmcjpeg", "+e1"],
    "jpeg lossless, predictor 4": ["dcmcjpeg", "+el", "+sv", "4"],
    "jpeg-ls": ["dcmcjpls", "+el"],
}
needs_dcmtk = pytest.mark.skipif(not has_dcmtk(), reason="dcmtk is not installed")


def grey(bits: int, *, is_signed: bool) -> npt.NDArray[Any]:
    """Make 48 x 40 pixels that use all of their bits."""
    low = -(1 << (bits - 1)) if is_signed else 0
    image = np.random.default_rng(bits).integers(low, low + (1 << bits), (48, 40))
    image[:8] = np.linspace(low, low + (1 << bits) - 1, 320).reshape(8, 40)
    size = 8 if bits <= 8 else 16
    return image.astype(f"{'i' if is_signed else 'u'}{size // 8}")


def colour() -> npt.NDArray[Any]:
    """Make 48 x 40 pixels of RGB."""
    return np.random.default_rng(3).integers(0, 256, (48, 40, 3)).astype(np.uint8)


def tensor(path: Path) -> torch.Tensor:
    """Go the fast way of an image, and check it against the readable one."""
    source = open_image(path)
    fast = to_input([read_frame(source, 1, SPEC)], SPEC, torch.device("cpu"))
    slow = prepare(windowed_frame(source, 1, SPEC).planes, SPEC)
    assert np.abs(fast[0].numpy() - slow).max() < 1e-4
    return fast


def by_codec(path: Path, target: Path, coded: bytes, syntax: UID) -> Path:
    """Put a codestream into a copy of a native file."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([coded])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    if dataset.SamplesPerPixel == 3:
        dataset.PhotometricInterpretation = "YBR_RCT"
    dataset.save_as(target)
    return target


def jpeg_2000_copies(path: Path, image: npt.NDArray[Any]) -> dict[str, Path]:
    """Compress with OpenJPEG and OpenJPH."""
    jpeg_2000 = imagecodecs.jpeg2k_encode(
        image, codecformat="J2K", reversible=True, mct=image.ndim == 3
    )
    htj2k = imagecodecs.htj2k_encode(image, reversible=True)
    named = {
        "jpeg 2000": (jpeg_2000, JPEG2000Lossless),
        "htj2k": (htj2k, HTJ2KLossless),
    }
    return {
        name: by_codec(path, path.with_name(name), bytes(coded), syntax)
        for name, (coded, syntax) in named.items()
    }


def dcmtk_copies(path: Path) -> dict[str, Path]:
    """Convert with dcmtk in every way that it has."""
    copies = {}
    for name, command in DCMTK.items():
        copies[name] = path.with_name(name)
        subprocess.run(
            [*command, str(path), str(copies[name])], check=True, capture_output=True
        )
    return copies


@needs_dcmtk
@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_is_one_tensor_in_every_lossless_syntax(
    tmp_path: Path, bits: int, is_signed: bool
) -> None:
    image = grey(bits, is_signed=is_signed)
    path = write_image(
        tmp_path / "native", image, BitsStored=bits, HighBit=bits - 1,
        WindowCenter="100", WindowWidth="150", RescaleSlope="1",
        RescaleIntercept="0",
    )  # fmt: skip
    expected = tensor(path)
    copies = dcmtk_copies(path)
    if bits != 12:  # imagecodecs gives codestreams the bits of the type
        copies |= jpeg_2000_copies(path, image)
    for name, copy in copies.items():
        assert torch.equal(tensor(copy), expected), name


@needs_dcmtk
@pytest.mark.parametrize("is_planar", [False, True])
def test_colour_is_one_tensor_in_every_lossless_syntax(
    tmp_path: Path, is_planar: bool
) -> None:
    image = colour()
    stored = image.transpose(2, 0, 1) if is_planar else image
    path = write_image(
        tmp_path / "native", stored.tobytes(), Rows=48, Columns=40, SamplesPerPixel=3,
        PlanarConfiguration=int(is_planar), BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelRepresentation=0, PhotometricInterpretation="RGB",
    )  # fmt: skip
    expected = tensor(path)
    for name, copy in (dcmtk_copies(path) | jpeg_2000_copies(path, image)).items():
        assert torch.equal(tensor(copy), expected), name


@needs_dcmtk
@pytest.mark.parametrize("is_signed", [False, True])
def test_32_bits_are_one_tensor_as_dcmtk_converts_them(
    tmp_path: Path, is_signed: bool
) -> None:
    low = -200_000 if is_signed else 0
    noise = np.random.default_rng(2).integers(0, 9000, (48, 40))
    image = np.linspace(low, 900_000, 1920).reshape(48, 40) + noise
    path = write_image(
        tmp_path / "native", image.astype("<i4" if is_signed else "<u4").tobytes(),
        Rows=48, Columns=40, SamplesPerPixel=1, BitsAllocated=32, BitsStored=32,
        HighBit=31, PixelRepresentation=int(is_signed), WindowCenter="400000",
        WindowWidth="800000", RescaleSlope="1", RescaleIntercept="0",
    )  # fmt: skip
    expected = tensor(path)
    for name in ("implicit", "big endian", "deflated"):
        copy = tmp_path / name
        subprocess.run([*DCMTK[name], str(path), str(copy)], check=True)
        assert torch.equal(tensor(copy), expected), name
