"""Read header attributes as files have them: empty, padded, mistyped, per frame."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.pixels.border import third_party

_BINARY = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8"}


def has(dataset: Dataset, keyword: str) -> bool:
    """Say whether the attribute is there with a value."""
    if keyword not in dataset:
        return False
    with third_party(f"{keyword} cannot be read"):
        element = dataset.get_item(keyword)
        value = element.value if element is not None else None
        return value is not None and not (hasattr(value, "__len__") and not len(value))


def text(dataset: Dataset, keyword: str) -> str:
    """Return the first value of a code string in upper case, "" without one."""
    if not has(dataset, keyword):
        return ""
    with third_party(f"{keyword} cannot be read"):
        value = dataset.get_item(keyword).value
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
    if not has(dataset, keyword):
        return ()
    with third_party(f"{keyword} is not a number"):
        element = dataset.get_item(keyword)
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
    if keyword not in dataset:
        return ()
    with third_party(f"{keyword} cannot be read"):
        return tuple(dataset[keyword].value or ())


def words(dataset: Dataset, keyword: str) -> bytes:
    """Return the value of a US, SS, OW or OB attribute as little endian bytes.

    Look-up tables are read this way because their VR is any of these and says
    nothing reliable about the size of an entry.
    """
    if not has(dataset, keyword):
        return b""
    with third_party(f"{keyword} cannot be read"):
        element = dataset.get_item(keyword)
        value, vr = element.value, element.VR
        if isinstance(value, bytes):
            big = not _is_little(dataset, element)
            if big and vr != "OB":
                return np.frombuffer(value, ">u2").astype("<u2").tobytes()
            return value
        listed = [value] if isinstance(value, int) else list(value)
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
            return [float(v) for v in np.frombuffer(value, order + _BINARY[vr])]
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
    tag = tag_for_keyword(keyword)
    vr = dictionary_VR(tag) if tag is not None else "UN"
    return "US" if vr.startswith("US") else vr


def _is_little(dataset: Dataset, element: object) -> bool:
    """Tell the byte order of a value that is still as in the file."""
    if isinstance(element, RawDataElement):
        return bool(element.is_little_endian)
    return dataset.original_encoding[1] is not False
