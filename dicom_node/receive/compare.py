"""Compare stored files by their bytes: equal digests alone prove nothing."""

from collections.abc import Callable
from pathlib import Path

from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.part10.head import read_head
from dicom_node.receive.scan import DatasetView, ScanLimits, scan


class FileCompare:
    """Compares the files under two keys."""

    def __init__(self, path_of: Callable[[str], Path], limits: ScanLimits) -> None:
        self._path_of = path_of
        self._limits = limits

    def same_dataset(self, kept: str, other: str) -> bool:
        """Say whether the data sets are the same bytes."""
        return self._read(kept)[1] == self._read(other)[1]

    def same_pixels(self, kept: str, other: str) -> bool:
        """Say whether both hold the same Pixel Data as encoded, or both none."""
        return self._pixels(kept) == self._pixels(other)

    def _pixels(self, key: str) -> tuple[bytes, ...]:
        syntax, dataset = self._read(key)
        scanned = scan(DatasetView.of_bytes(dataset), syntax, self._limits)
        return tuple(dataset[pixel.start : pixel.end] for pixel in scanned.pixels)

    def _read(self, key: str) -> tuple[str, bytes]:
        try:
            content = self._path_of(key).read_bytes()
            head = read_head(content)
        except (OSError, CannotUnderstand) as error:
            raise StoreError(f"a stored file is lost: {type(error).__name__}") from None
        return head.transfer_syntax_uid, content[head.size_bytes :]
