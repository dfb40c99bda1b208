"""Which side and which view an image shows, as coded concepts, as its header says."""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.core.types import CodedConcept

# CID 244 by the values of Image Laterality and Laterality. Source: PS3.3 C.8.11.7.
_SIDES: Final = {
    "R": CodedConcept(value="24028007", scheme="SCT", meaning="Right"),
    "L": CodedConcept(value="7771000", scheme="SCT", meaning="Left"),
    "B": CodedConcept(value="51440002", scheme="SCT", meaning="Right and left"),
}
UNPAIRED: Final = "U"
# View Position (PS3.3 C.8.11.5, C.8.7.1 and their use in mammography) as the codes of
# CID 4010 and CID 4014.
_VIEWS: Final = {
    "AP": ("399348003", "antero-posterior"),
    "PA": ("272479007", "postero-anterior"),
    "LL": ("399173006", "left lateral"),
    "RL": ("399198007", "right lateral"),
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
    "ML": ("399260004", "medial-lateral"),
    "LM": ("399352003", "latero-medial"),
    "LMO": ("399099002", "latero-medial oblique"),
    "FB": ("399196006", "caudo-cranial"),
    "XCCL": ("399192008", "cranio-caudal exaggerated laterally"),
    "XCCM": ("399101009", "cranio-caudal exaggerated medially"),
    "SIO": ("399188001", "superolateral to inferomedial oblique"),
    "ISO": ("441555000", "inferomedial to superolateral oblique"),
}
_PRIVATE_SCHEME: Final = "99DCMNODE"
_CODE_STRING: Final = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5 6.2
_CODE_VALUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}")
_TAGS: Final = (
    "ImageLaterality",
    "Laterality",
    "ViewPosition",
    "ViewCodeSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an image shows.

    Args:
        laterality, view: None where the header does not say, or not one thing.
        unpaired: the header says that the body part has no sides.
    """

    laterality: CodedConcept | None = None
    view: CodedConcept | None = None
    unpaired: bool = False


def read_shown(path: Path, frames: Sequence[int] = ()) -> Shown:
    """Read side and view of an image; frames of several sides have none.

    Args:
        frames: those that count, from 1; all if empty.

    Source: PS3.3 C.7.6.16.2.8 (Frame Anatomy), C.8.11.7, C.8.7.1.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their texts may quote values
            header = dcmread(
                path, specific_tags=list(_TAGS), stop_before_pixels=True, force=True
            )
            side = _side(header, frames)
            return Shown(
                laterality=_SIDES.get(side),
                view=_view(header, frames),
                unpaired=side == UNPAIRED,
            )
    except Exception:  # noqa: BLE001 - a header that cannot be read says nothing
        return Shown()


def _side(header: Dataset, frames: Sequence[int]) -> str:
    for keyword in ("ImageLaterality", "Laterality"):
        if value := _text(header, keyword):
            return value
    found = {
        _text(item, "FrameLaterality")
        for group in _groups(header, frames)
        for item in group.get("FrameAnatomySequence") or ()
    }
    return found.pop() if len(found) == 1 else ""


def _view(header: Dataset, frames: Sequence[int]) -> CodedConcept | None:
    if (code := _first_view(header)) is not None:
        return code
    found = {
        code
        for group in _groups(header, frames)
        for element in group
        if element.VR == "SQ"
        for item in element.value
        if (code := _first_view(item)) is not None
    }
    if len(found) == 1:
        return found.pop()
    position = _text(header, "ViewPosition")
    if position in _VIEWS:
        return _concept(*_VIEWS[position])
    if position and _CODE_STRING.fullmatch(position):
        return CodedConcept(value=position, scheme=_PRIVATE_SCHEME, meaning=position)
    return None


def _first_view(item: Dataset) -> CodedConcept | None:
    """Return the first View Code of an item, under one code for one view."""
    for code in item.get("ViewCodeSequence") or ():
        value, scheme = (
            _plain(code, "CodeValue"),
            _plain(code, "CodingSchemeDesignator"),
        )
        for known, meaning in _VIEWS.values():
            # pydicom takes SNOMED-RT codes and those of SNOMED CT for the same.
            if Code(value, scheme, "") == Code(known, "SCT", ""):
                return _concept(known, meaning)
        if _CODE_VALUE.fullmatch(value) and _CODE_VALUE.fullmatch(scheme):
            # The sender's meaning is free text: it may be anything.
            return CodedConcept(value=value, scheme=scheme, meaning=f"view {value}")
    return None


def _groups(header: Dataset, frames: Sequence[int]) -> Iterator[Dataset]:
    """Yield the functional groups of the frames, the shared ones first."""
    yield from header.get("SharedFunctionalGroupsSequence") or ()
    for number, group in enumerate(
        header.get("PerFrameFunctionalGroupsSequence") or (), start=1
    ):
        if not frames or number in frames:
            yield group


def _concept(value: str, meaning: str) -> CodedConcept:
    return CodedConcept(value=value, scheme="SCT", meaning=meaning)


def _plain(item: Dataset, keyword: str) -> str:
    return str(item.get(keyword) or "").strip()


def _text(item: Dataset, keyword: str) -> str:
    return _plain(item, keyword).upper()
