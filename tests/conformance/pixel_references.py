"""What other implementations make of a frame: highdicom, dcmtk and pydicom.

Each answers with an array or with None where it cannot read the file; it is never
asked how our own code would have done it.
"""

import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array as pydicom_pixel_array

Samples = npt.NDArray[Any]
_DECOMPRESSORS = ("dcmconv", "dcmdjpeg", "dcmdjpls", "dcmdrle")
_SECONDS = 120


def has_dcmtk() -> bool:
    """Say whether dcmtk's tools are installed."""
    return all(shutil.which(tool) for tool in (*_DECOMPRESSORS, "dcmj2pnm"))


def _quietly(ask: Callable[[], Samples]) -> Samples | None:
    """Ask a library that warns and raises as it likes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(ask())
        except Exception:  # noqa: BLE001 - each has its own errors on odd files
            return None


def shown_by_highdicom(path: Path, frame_number: int) -> Samples | None:
    """Ask for modality, VOI, palette and inversion; values stay if there is no VOI."""
    return _quietly(
        lambda: highdicom.imread(path).get_frame(
            frame_number,
            apply_voi_transform=None,
            apply_real_world_transform=False,
            dtype=np.float32,
        )
    )


def stored_by_pydicom(path: Path, frame_number: int) -> Samples | None:
    """Decode with pydicom's plugins, as stored."""
    return _quietly(lambda: pydicom_pixel_array(path, index=frame_number - 1, raw=True))


def colour_by_pydicom(path: Path, frame_number: int) -> Samples | None:
    """Decode colour with pydicom: RGB or palette applied, in 0..1."""

    def ask() -> Samples:
        dataset = pydicom.dcmread(path, force=True)
        if int(dataset.get("NumberOfFrames") or 1) > 1:
            values = pydicom_pixel_array(path, index=frame_number - 1)
        else:
            values = dataset.pixel_array
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            values = apply_color_lut(values, dataset)
            bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        else:
            bits = int(dataset.BitsStored)
        scaled: Samples = values / ((1 << bits) - 1)
        return scaled

    return _quietly(ask)


def stored_by_numpy(path: Path, frame_number: int) -> Samples | None:
    """Cut a frame out of native monochrome pixels by arithmetic alone."""

    def ask() -> Samples:
        dataset = pydicom.dcmread(path, force=True)
        for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
            if keyword in dataset:
                break
        raw = dataset[keyword].value
        rows, columns = dataset.Rows, dataset.Columns
        first = (frame_number - 1) * rows * columns
        order = ">" if dataset.original_encoding[1] is False else "<"
        if dataset.BitsAllocated == 1:
            bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
            return bits[first : first + rows * columns].reshape(rows, columns)
        size = dataset.BitsAllocated // 8
        if size == 1 and order == ">" and dataset[keyword].VR == "OW":
            raw = np.frombuffer(raw[: len(raw) & ~1], ">u2").astype("<u2").tobytes()
        kind = "u" if keyword == "PixelData" else "f"
        values = np.frombuffer(
            raw, f"{order}{kind}{size}", rows * columns, first * size
        )
        return values.reshape(rows, columns)

    return _quietly(ask)


def decompressed_by_dcmtk(path: Path, folder: Path) -> Path | None:
    """Let dcmtk write the file in Explicit VR Little Endian."""
    target = folder / f"{path.name}.plain"
    for tool in _DECOMPRESSORS:
        options = ["+te", "+F"] if tool == "dcmconv" else ["+te"]
        done = subprocess.run(
            [tool, *options, str(path), str(target)],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode == 0 and target.exists():
            return target
    return None


def shown_by_dcmtk(
    path: Path, folder: Path, frame_number: int, *options: str
) -> Samples | None:
    """Render with dcmj2pnm: 16 bits a sample, 8 for images above 2 MiB.

    Returns:
        (rows, columns) or (rows, columns, 3) in 0..1; no overlays are drawn.
    """
    target = folder / "shown.pnm"
    depth = ["+opn", "16"] if path.stat().st_size < 2 << 20 else ["+opb"]
    done = subprocess.run(
        [
            "dcmj2pnm", "-O", "+F", str(frame_number), *options, *depth,
            str(path), str(target),
        ],
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )  # fmt: skip
    if done.returncode != 0 or not target.exists():
        return None
    return _read_pnm(target.read_bytes())


def _read_pnm(raw: bytes) -> Samples:
    """Read a PGM or PPM, 16 bits in ASCII or 8 bits in bytes."""
    lines: list[bytes] = []
    while len(lines) < 3:
        line, raw = raw.split(b"\n", 1)
        if not line.startswith(b"#"):
            lines.append(line)
    columns, rows = (int(word) for word in lines[1].split())
    is_colour = lines[0] in (b"P3", b"P6")
    is_text = lines[0] in (b"P2", b"P3")
    values = np.array(raw.split() if is_text else np.frombuffer(raw, np.uint8))
    scaled = values.astype(np.float32) / np.float32(int(lines[2]))
    return scaled.reshape((rows, columns, 3) if is_colour else (rows, columns))
