"""Read which frames the Key Object Selections of a study name."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.core.errors import PixelError
from dicom_node.core.types import InputFile
from inference.pixels.attributes import items, numbers
from inference.pixels.border import third_party

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
# Document titles (CID 7010) that say something else than "look at these": rejections
# and expiry (IHE IOCM), quality issues, manifests of all there is, wrong worklist.
_NO_KEYS = frozenset(
    {
        "113001",
        "113010",
        "113030",
        "113031",
        "113032",
        "113033",
        "113034",
        "113035",
        "113037",
        "113038",
        "113039",
    }
)
_LIMIT_BYTES = 16 << 20
_LIMIT_DEPTH = 16

# SOP Instance UID -> frame numbers from 1; an empty set names the whole image.
KeyFrames = dict[str, frozenset[int]]


def read_key_frames(files: Sequence[InputFile]) -> KeyFrames:
    """Collect the images and frames that Key Object Selections name.

    One that cannot be read names nothing.

    Source: PS3.3 A.35.4, C.17.6, C.18.4; PS3.16 TID 2010, CID 7010.
    """
    whole: set[str] = set()
    named: dict[str, set[int]] = defaultdict(set)
    for file in files:
        if str(file.sop_class_uid) != KEY_OBJECT_SELECTION:
            continue
        try:
            found = list(_read(file))
        except (OSError, PixelError):
            continue
        for uid, frames in found:
            named[uid].update(frames)
            if not frames:
                whole.add(uid)
    return {
        uid: frozenset() if uid in whole else frozenset(frames)
        for uid, frames in named.items()
    }


def _read(file: InputFile) -> Iterator[tuple[str, tuple[int, ...]]]:
    if os.stat(file.path).st_size > _LIMIT_BYTES:
        raise PixelError("the Key Object Selection is larger than the limit")
    with third_party("the Key Object Selection cannot be parsed"):
        # Deflated, its size says nothing of what it becomes.
        syntax = read_file_meta_info(file.path).TransferSyntaxUID
        if syntax == DeflatedExplicitVRLittleEndian:
            raise PixelError("a deflated Key Object Selection is not read")
        dataset = dcmread(file.path)
    for concept in items(dataset, "ConceptNameCodeSequence")[:1]:
        if str(concept.get("CodeValue", "")) in _NO_KEYS:
            return
    yield from _images(dataset, 0)


def _images(dataset: Dataset, depth: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    if depth > _LIMIT_DEPTH:
        return
    for item in items(dataset, "ContentSequence"):
        for reference in items(item, "ReferencedSOPSequence"):
            uid = str(reference.get("ReferencedSOPInstanceUID", ""))
            yield uid, tuple(map(int, numbers(reference, "ReferencedFrameNumber")))
        yield from _images(item, depth + 1)
