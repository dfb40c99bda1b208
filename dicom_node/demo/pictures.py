"""The summaries that came back, as files that every program shows."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Picture
from pydicom import dcmread

from dicom_node.core.states import ReportKind
from dicom_node.report.checks import faults_of, kind_of


def write_pictures(files: Sequence[Path]) -> list[Path]:
    """Write a PNG beside each sound summary picture; return their paths in order."""
    written = []
    for path in files:
        dataset = dcmread(path)
        if kind_of(dataset) is not ReportKind.SC or faults_of(ReportKind.SC, dataset):
            continue
        shape = int(dataset.Columns), int(dataset.Rows)
        picture = Picture.frombytes("RGB", shape, dataset.PixelData)
        written.append(path.with_suffix(".png"))
        picture.save(written[-1])
    return written
