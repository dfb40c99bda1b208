"""A destination that is a folder: each object a file, whole or not there."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from config.destinations import DestinationTable
from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.choose import kinds_of, rank_reports, read_report, sr_classes_of


class FolderDestination:
    """Writes `<SOP Instance UID>.dcm` into a folder."""

    def __init__(self, settings: DestinationTable) -> None:
        if settings.folder is None:
            raise ConfigError(
                f"destination '{settings.name}' of kind 'folder' needs folder"
            )
        self.name = settings.name
        self.kinds = kinds_of(settings)
        self.sop_class_uids = sr_classes_of(settings)
        self.send_not_evaluated = settings.send_not_evaluated
        self._folder: Path = settings.folder

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        """Write the best report, or the one chosen before.

        Raises:
            DeliveryError: not written; `retryable` says whether to try again.
        """
        file = rank_reports(reports, chosen, sop_class_uids=self.sop_class_uids)[0]
        content = read_report(file)
        uid = file.report.sop_instance_uid
        on_chosen(uid)
        self._write(f"{uid}.dcm", content)
        return Sent(status=None, sop_instance_uid=uid)

    def check(self) -> None:
        """Raise DeliveryError unless a file can be written."""
        probe = self._write(f".check-{os.getpid()}", b"\0")
        probe.unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> Path:
        """Write a file, making the folder if only its last part is missing."""
        try:
            self._folder.mkdir(exist_ok=True)
            return _write_whole(self._folder / name, content)
        except OSError as error:
            raise DeliveryError(
                f"the folder of destination '{self.name}' cannot be written "
                f"({type(error).__name__}): check that the folder above it exists, "
                "that this user may write there and that the disk is not full",
                retryable=True,
            ) from None


def _write_whole(path: Path, content: bytes) -> Path:
    """Write, sync, rename, sync the folder: no reader sees half a file."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path
