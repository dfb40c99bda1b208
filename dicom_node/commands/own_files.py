"""Files of one's own, read as the node would have received them."""

from collections.abc import Sequence
from pathlib import Path

from dicom_node.core.errors import ReceiveError, UsageError
from dicom_node.core.types import InputFile
from dicom_node.receive.foreign import read_instance
from dicom_node.receive.limits import ScanLimits


def read_own_files(
    paths: Sequence[Path], limits: ScanLimits
) -> tuple[list[InputFile], dict[str, str]]:
    """Read files, and folders with all that lies in them.

    Returns:
        The files, and why the node would refuse the others, by path.

    Raises:
        UsageError: a path is not there, or no file is one that the node would take.
    """
    files: list[InputFile] = []
    refused: dict[str, str] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
        members = sorted(path.rglob("*")) if path.is_dir() else [path]
        for member in members:
            if not member.is_file():
                continue
            try:
                files.append(_read(member, limits))
            except ReceiveError as error:
                refused[str(member)] = str(error)
    if not files:
        raise UsageError("none of these is a DICOM file that the node would accept")
    return files, refused


def _read(path: Path, limits: ScanLimits) -> InputFile:
    found = read_instance(path, limits)
    return InputFile(
        sop_instance_uid=found.sop_instance_uid,
        sop_class_uid=found.sop_class_uid,
        series_instance_uid=found.series_instance_uid,
        path=path,
        header=found.header,
    )
