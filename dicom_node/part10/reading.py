"""Reading stored files for their headers, without a value leaking into a log."""

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

# What pydicom raises on bytes it cannot make sense of (ValueError covers
# UnicodeError).
UNREADABLE: Final = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    NotImplementedError,
    ArithmeticError,
    RecursionError,
    EOFError,
    OSError,
    BytesLengthException,
    InvalidDicomError,
    struct.error,
    zlib.error,
)


@contextmanager
def hushed() -> Iterator[None]:
    """Swallow pydicom's and highdicom's warnings: their text may hold values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(path: Path, keywords: Sequence[str] = ()) -> Dataset | None:
    """Read a file up to its pixels, or only some attributes; None if unreadable."""
    try:
        return dcmread(
            path,
            stop_before_pixels=True,
            force=True,
            specific_tags=list(keywords) or None,
        )
    except UNREADABLE:
        return None


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute's text, "" when it is absent, empty or unreadable."""
    try:
        value = dataset.get(keyword)
    except UNREADABLE:
        return ""
    return "" if value is None else str(value).strip()
