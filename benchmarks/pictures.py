"""The images of the inference measurements: files, raw or compressed.

Phantoms with noise, as `benchmarks.corpus` makes them, with windows that suit them: a
window that leaves everything black would make clipping cheap and errors invisible.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from benchmarks.corpus import (
    CT,
    PLACEHOLDERS,
    VARIANTS,
    Kind,
    Numbers,
    encode_dataset,
    make_dataset,
)
from benchmarks.template import Template
from inference.pixels.codecs import EXPLICIT_LITTLE

Stored = npt.NDArray[np.uint16]
_CT_AIR: Final = 1024  # stored values of the CT are HU + 1024, 12 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """A transfer syntax and how its frames are encoded here."""

    name: str
    uid: str
    encode: Callable[[Stored], bytes | bytearray]


def _rle(values: Stored) -> bytes:
    """Encode a frame of 16-bit samples as RLE Lossless (PS3.5 Annex G)."""
    planes = values.astype("<u2").view(np.uint8).reshape(*values.shape, 2)
    segments = []
    for byte in (1, 0):  # the most significant first
        rows = [
            imagecodecs.packbits_encode(row.tobytes()) for row in planes[:, :, byte]
        ]
        segment = b"".join(rows)  # runs end with their row (G.3.1)
        segments.append(segment + bytes(len(segment) % 2))
    offsets = [64, 64 + len(segments[0])]
    return struct.pack("<16I", 2, *offsets, *[0] * 13) + b"".join(segments)


RLE: Final = Coding(name="RLE", uid="1.2.840.10008.1.2.5", encode=_rle)
JPEG_LOSSLESS: Final = Coding(
    name="JPEG lossless",
    uid="1.2.840.10008.1.2.4.70",
    encode=lambda v: imagecodecs.jpeg8_encode(
        v, lossless=True, bitspersample=12, predictor=1
    ),
)
JPEG_LS: Final = Coding(
    name="JPEG-LS",
    uid="1.2.840.10008.1.2.4.80",
    encode=lambda v: imagecodecs.jpegls_encode(v),
)
JPEG_2000: Final = Coding(
    name="JPEG 2000",
    uid="1.2.840.10008.1.2.4.90",
    encode=lambda v: imagecodecs.jpeg2k_encode(v, reversible=True, codecformat="j2k"),
)
HTJ2K: Final = Coding(
    name="HTJ2K",
    uid="1.2.840.10008.1.2.4.201",
    encode=lambda v: imagecodecs.htj2k_encode(v, reversible=True),
)
CODINGS: Final = (RLE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, HTJ2K)


def make_picture(kind: Kind, seed: int, numbers: Numbers | None = None) -> Dataset:
    """Make one image, uncompressed, of which 12 bits are used.

    Args:
        numbers: of its UIDs; None leaves the placeholders of `make_dataset`.
    """
    made = make_dataset(kind, seed)
    if kind is CT:
        values = np.frombuffer(made.PixelData, "<i2").astype(np.int32) + _CT_AIR
        made.PixelData = values.clip(0, 4095).astype("<u2").tobytes()
        made.PixelRepresentation, made.BitsStored, made.HighBit = 0, 12, 11
        made.RescaleIntercept = -_CT_AIR
    else:
        made.WindowCenter, made.WindowWidth = 2048, 4096
        del made.WindowCenterWidthExplanation
    if numbers:
        made.SOPInstanceUID, made.StudyInstanceUID = numbers.uid(), numbers.uid()
        made.SeriesInstanceUID = numbers.uid()
    return made


def write_picture_templates(kind: Kind, folder: Path) -> tuple[str, ...]:
    """Write raw images for the sender to read; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in range(VARIANTS):
        made = Template.of(
            encode_dataset(make_picture(kind, seed)),
            sop_class_uid=kind.sop_class_uid,
            placeholders=PLACEHOLDERS,
        )
        found.append(str(made.save(folder / f"{kind.name}-{seed}.template")))
    return tuple(found)


def stored_values(picture: Dataset) -> Stored:
    """Return the stored values of an uncompressed picture, (rows, columns)."""
    values: Stored = np.frombuffer(picture.PixelData, "<u2")
    return values.reshape(picture.Rows, picture.Columns)


def save_picture(picture: Dataset, path: Path, coding: Coding | None = None) -> Path:
    """Write a Part 10 file, compressed if a coding is named."""
    made = Dataset()
    made.update(picture)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(coding.uid if coding else EXPLICIT_LITTLE)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    if coding:
        del made.PixelData  # the element is the picture's, too
        made.PixelData = encapsulate([bytes(coding.encode(stored_values(picture)))])
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, made, enforce_file_format=True)
    return path


def save_pictures(
    kind: Kind, folder: Path, *, number: int, coding: Coding | None = None
) -> list[Path]:
    """Write so many files, each with other noise."""
    numbers = Numbers()
    return [
        save_picture(
            make_picture(kind, seed, numbers),
            folder / f"{kind.name}-{coding.name if coding else 'raw'}-{seed}.dcm",
            coding,
        )
        for seed in range(number)
    ]


def largest_difference(
    one: npt.NDArray[Any], others: Sequence[npt.NDArray[Any]]
) -> float:
    """Return the largest absolute difference to any of the others."""
    return max(
        float(np.abs(one.astype(np.float64) - other).max(initial=0)) for other in others
    )
