"""The images of a measurement: phantoms with noise, as scanners encode them.

An image is encoded once; its copies differ in their UIDs only, which are patched in
place, so that neither making nor sending a copy costs anything.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
)

from benchmarks.part10 import file_head, part10
from benchmarks.scanner import scanner_attributes
from benchmarks.template import Template, make_uid

PLACEHOLDERS: Final = (make_uid(1), make_uid(2), make_uid(3))
VARIANTS: Final = 4  # other noise in each, or a receiver's caches would see one image


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of image.

    Args:
        rows, columns: of its pixels, two bytes each.
        bits: that are used of the sixteen.
    """

    name: str
    modality: str
    sop_class_uid: str
    rows: int
    columns: int
    bits: int

    @property
    def title(self) -> str:
        """Name and matrix, for tables."""
        return f"{self.name} {self.rows}x{self.columns}"


CT: Final = Kind(
    name="CT",
    modality="CT",
    sop_class_uid=CTImageStorage,
    rows=512,
    columns=512,
    bits=16,
)
MR: Final = Kind(
    name="MR",
    modality="MR",
    sop_class_uid=MRImageStorage,
    rows=256,
    columns=256,
    bits=12,
)
DX: Final = Kind(
    name="DX",
    modality="DX",
    sop_class_uid=DigitalXRayImageStorageForPresentation,
    rows=2500,
    columns=2048,
    bits=12,
)
KINDS: Final = (CT, MR, DX)


@dataclass(slots=True)
class Numbers:
    """Gives UIDs that no other run and no other call has given."""

    _run: int = field(default_factory=lambda: secrets.randbelow(10**18))
    _next: Iterator[int] = field(default_factory=count)

    def uid(self) -> str:
        """Return a new UID of UID_LENGTH characters."""
        return make_uid(self._run * 10**12 + next(self._next))


def make_dataset(kind: Kind, seed: int) -> Dataset:
    """Make one image; its three UIDs are placeholders of UID_LENGTH characters.

    Args:
        seed: of the noise.
    """
    made = Dataset()
    made.SOPClassUID = kind.sop_class_uid
    made.SOPInstanceUID, made.StudyInstanceUID = PLACEHOLDERS[:2]
    made.SeriesInstanceUID = PLACEHOLDERS[2]
    made.Modality = kind.modality
    scanner_attributes(made)
    made.Rows, made.Columns = kind.rows, kind.columns
    made.BitsStored, made.HighBit = kind.bits, kind.bits - 1
    made.PixelRepresentation = int(kind is CT)
    made.PixelData = _pixels(kind, seed)
    return made


def make_template(kind: Kind, seed: int) -> Template:
    """Encode one image as explicit VR little endian."""
    return Template.of(
        encode_dataset(make_dataset(kind, seed)),
        sop_class_uid=kind.sop_class_uid,
        placeholders=PLACEHOLDERS,
    )


def encode_dataset(dataset: Dataset) -> bytes:
    """Encode as explicit VR little endian, without File Meta Information."""
    encoded = BytesIO()
    dcmwrite(encoded, dataset, implicit_vr=False, little_endian=True)
    return encoded.getvalue()


def write_templates(kind: Kind, folder: Path) -> tuple[Path, ...]:
    """Write VARIANTS templates of this kind, for senders to read."""
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        make_template(kind, seed).save(folder / f"{kind.name.lower()}-{seed}.template")
        for seed in range(VARIANTS)
    )


@dataclass(slots=True)
class Files:
    """Part 10 files for senders that read them; new UIDs cost four small writes each.

    Args:
        templates: one is taken after the other.
    """

    folder: Path
    templates: tuple[Template, ...]
    paths: list[Path] = field(default_factory=list)

    def renew(self, number: int, numbers: Numbers) -> None:
        """Have exactly `number` files, of one new study."""
        study, series = numbers.uid(), numbers.uid()
        self.folder.mkdir(parents=True, exist_ok=True)
        while len(self.paths) > number:
            self.paths.pop().unlink()
        for index in range(number):
            template = self.templates[index % len(self.templates)]
            uids = (numbers.uid(), study, series)
            if index < len(self.paths):
                _patch_file(self.paths[index], template, uids)
            else:
                path = self.folder / f"{index:06}.dcm"
                path.write_bytes(part10(template, uids))
                self.paths.append(path)


def _patch_file(path: Path, template: Template, uids: tuple[str, str, str]) -> None:
    head = file_head(template, uids[0])
    with path.open("r+b") as file:
        file.write(head)
        for offset, uid in zip(template.offsets, uids, strict=True):
            file.seek(len(head) + offset)
            file.write(uid.encode("ascii"))


def _pixels(kind: Kind, seed: int) -> bytes:
    """Draw a body of water in air, with noise."""
    noise = np.random.default_rng(seed)
    shape = (kind.rows, kind.columns)
    y, x = np.ogrid[-1 : 1 : kind.rows * 1j, -1 : 1 : kind.columns * 1j]
    inside = (x / 0.8) ** 2 + (y / 0.65) ** 2 < 1
    if kind is CT:
        values = np.where(inside, 40.0, -1000.0) + noise.normal(0, 12, shape)
        return values.astype("<i2").tobytes()
    top = (1 << kind.bits) - 1
    values = np.where(inside, top * 0.6, top * 0.05) + noise.normal(0, 20, shape)
    return values.clip(0, top).astype("<u2").tobytes()
