"""Read header attributes as files have them: empty, padded, mistyped, per frame."""

import math
import struct
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_node.core.errors import PixelError
from inference.pixels.border import third_party

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


def has(dataset: Dataset, keyword: str) -> bool:
    """Say whether the attribute is there with a value."""
    return _find(dataset, keyword) is not None


def text(dataset: Dataset, keyword: str) -> str:
    """Return the first value of a code string in upper case, "" without one."""
    element = _find(dataset, keyword)
    if element is None:
        return ""
    with _reading(f"{keyword} cannot be read"):
        value = element.value
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        if not isinstance(value, str) and isinstance(value, Sequence):
            value = value[0]
        return str(value).split("\\")[0].strip(" \0").upper()


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return all values of a numeric attribute, () when absent or empty.

    Text (DS, IS) may be zero-padded, or empty in some of its values: those end
    the list, since a hole would shift the alternatives behind it.

    Raises:
        PixelError: a value is not a finite number.
    """
    element = _find(dataset, keyword)
    if element is None:
        return ()
    with _reading(f"{keyword} is not a number"):
        found: list[float] = []
        for value in _values(element, keyword, dataset):
            if isinstance(value, str) and not value.strip(" \0"):
                break
            number = float(value.strip(" \0") if isinstance(value, str) else value)
            if not math.isfinite(number):
                raise PixelError(f"{keyword} is not a finite number")
            found.append(number)
        return tuple(found)


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of a numeric attribute, None when absent or empty."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the first value as an int, None when absent or empty."""
    found = number(dataset, keyword)
    if found is None:
        return None
    if found != int(found):
        raise PixelError(f"{keyword} is not an integer")
    return int(found)


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Return the items of a sequence, () when absent or empty."""
    tag = tag_of(keyword)
    if tag not in dataset:
        return ()
    with third_party(f"{keyword} cannot be read"):
        found: Sequence[Dataset] = dataset[tag].value or ()
        return tuple(found)


def words(dataset: Dataset, keyword: str) -> bytes:
    """Return the value of a US, SS, OW or OB attribute as little endian bytes.

    Look-up tables are read this way because their VR is any of these and says
    nothing reliable about the size of an entry.
    """
    element = _find(dataset, keyword)
    if element is None:
        return b""
    with _reading(f"{keyword} cannot be read"):
        value, vr = element.value, element.VR
        if isinstance(value, bytes):
            big = not _is_little(dataset, element)
            if big and vr != "OB":
                return np.frombuffer(value, ">u2").astype("<u2").tobytes()
            return value
        listed = [value] if isinstance(value, int) else list(value or ())
        return np.array([int(v) & 0xFFFF for v in listed], "<u2").tobytes()


def functional_groups(
    dataset: Dataset, keyword: str, *, frame_number: int
) -> Iterator[Dataset]:
    """Yield the macro's first item for this frame, per-frame before shared.

    Source: PS3.3 C.7.6.16.
    """
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    if 0 < frame_number <= len(per_frame):
        yield from items(per_frame[frame_number - 1], keyword)[:1]
    for shared in items(dataset, "SharedFunctionalGroupsSequence")[:1]:
        yield from items(shared, keyword)[:1]


@cache
def tag_of(keyword: str) -> BaseTag:
    """Return the tag of an attribute, one object for each: it compares faster."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise PixelError(f"{keyword} is no attribute of DICOM")
    return BaseTag(tag)


def _find(dataset: Dataset, keyword: str) -> RawDataElement | DataElement | None:
    """Return an element that has a value, as it lies in the data set.

    What was never asked for stays as in the file: pydicom's conversion, which warns
    of and quotes values, has no part in reading it.
    """
    tag = tag_of(keyword)
    if tag not in dataset:
        return None
    element = dataset.get_item(tag, keep_deferred=True)
    value = element.value if element is not None else None
    if value is None or (hasattr(value, "__len__") and not len(value)):
        return None
    return element


class _reading:
    """Turn whatever goes wrong with a value into a PixelError that names it."""

    __slots__ = ("failure",)

    def __init__(self, failure: str) -> None:
        self.failure = failure

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: object
    ) -> None:
        if kind is None or issubclass(kind, PixelError):
            return
        if issubclass(kind, Exception):
            raise PixelError(self.failure) from None


def _values(
    element: RawDataElement | DataElement, keyword: str, dataset: Dataset
) -> Sequence[str | float]:
    """Split a value into text or numbers without pydicom's validation."""
    value = element.value
    if isinstance(value, bytes):
        vr = element.VR
        if vr in (None, "UN", "OB", "OW"):
            vr = _dictionary_vr(keyword)
        if vr in _BINARY:
            order = "<" if _is_little(dataset, element) else ">"
            return [float(v) for (v,) in struct.iter_unpack(order + _BINARY[vr], value)]
        return value.decode("ascii").split("\\")
    if isinstance(value, str):
        return value.split("\\")
    if isinstance(value, Sequence):
        return [v if isinstance(v, str) else _float(v) for v in value]
    return [_float(value)]


def _float(value: object) -> str | float:
    """Pass None on as an empty text, and everything numeric as a float."""
    return "" if value is None else float(str(value))


def _dictionary_vr(keyword: str) -> str:
    vr = dictionary_VR(tag_of(keyword))
    return "US" if vr.startswith("US") else vr


def _is_little(dataset: Dataset, element: object) -> bool:
    """Tell the byte order of a value that is still as in the file."""
    if isinstance(element, RawDataElement):
        return bool(element.is_little_endian)
    return dataset.original_encoding[1] is not False
