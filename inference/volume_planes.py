"""Read where each frame of a file lies, and what tells stacks at one place apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from dicom_node.core.types import InputFile
from inference.pixels.attributes import has, integer, items, number, numbers, text
from inference.pixels.frames import FrameSource, open_image
from inference.volume import Vector
from inference.volume_attributes import FRAME_TYPES, PLACES, SEPARATORS
from inference.volume_geometry import Cosines, check_cosines

_NOT_GIVEN = frozenset({"", "NONE", "NO", "N", "NULL", "WITHOUT", "W/O", "N/A"})

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_TILT = ("GantryDetectorTilt", "CTAcquisitionDetailsSequence")
# No patient is a kilometre from the origin of a Frame of Reference.
_FARTHEST_MM = 1e6

Separator = tuple[str, str | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One frame of a file and where it lies.

    Args:
        readable: False if the file could not be opened; only the routing header is
            known then.
        cosines: None without a usable Image Orientation (Patient).
        separators: attribute and value, the ones that decide first standing first.
        contrast: whether an attribute says that contrast medium was given.
        frame_type: of the frame, else Image Type.
        conversion_type: how a secondary capture was made, "" for other images.
    """

    file: InputFile
    frame_number: int
    readable: bool = True
    frame_of_reference_uid: str = ""
    size: tuple[int, int] = (0, 0)
    cosines: Cosines | None = None
    origin: Vector | None = None
    thickness_mm: float | None = None
    stated_spacing_mm: float | None = None
    stated_tilt_degrees: float | None = None
    stack_id: str = ""
    separators: tuple[Separator, ...] = ()
    contrast: bool = False
    frame_type: tuple[str, ...] = ()
    conversion_type: str = ""


def read_planes(file: InputFile) -> tuple[Plane, ...]:
    """Read the planes of all frames of a file; one plane if it cannot be opened."""
    try:
        source = open_image(file.path)
    except PixelError:
        # The evaluation opens it again and says what is wrong with it.
        types = file.header.image_type
        return (Plane(file=file, frame_number=1, readable=False, frame_type=types),)
    return planes_of(file, source)


def planes_of(file: InputFile, source: FrameSource) -> tuple[Plane, ...]:
    """Find the planes of all frames of a file that is open."""
    frames = source.number_of_frames
    alike = source.alike if frames == 1 else None
    kept = alike.kept.get(Plane) if alike else None
    types = file.header.image_type
    if isinstance(kept, Plane) and kept.file.header.image_type == types:
        origin = _Look((), (source.dataset,)).origin()
        return (replace(kept, file=file, origin=origin),)
    try:
        planes = tuple(_planes(file, source.dataset, frames))
        # Functional groups say where a frame lies, and what else it has of its own.
        if alike and not any(_is_there(source.dataset, name) for name in _GROUPS):
            alike.kept[Plane] = planes[0]
        return planes
    except PixelError:  # it may have pixels all the same
        return tuple(
            Plane(file=file, frame_number=index + 1, frame_type=types)
            for index in range(frames)
        )


def _planes(file: InputFile, dataset: Dataset, frames: int) -> Iterator[Plane]:
    shared = items(dataset, "SharedFunctionalGroupsSequence")[:1]
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    pointers = _dimensions(dataset)
    reference = _plain(dataset, "FrameOfReferenceUID")
    tilt = _number(dataset, "GantryDetectorTilt")
    contrast = _contrast_in_header(dataset)
    conversion = _plain(dataset, "ConversionType")
    size = (integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0)
    # Attributes of the data set itself place a single frame only.
    whole = (dataset,) if frames == 1 else ()
    for index in range(frames):
        groups = (*per_frame[index : index + 1], *shared)
        look = _Look(groups, whole)
        yield Plane(
            file=file,
            frame_number=index + 1,
            frame_of_reference_uid=reference,
            size=size,
            cosines=look.cosines(),
            origin=look.origin(),
            thickness_mm=look.millimetres("SliceThickness"),
            stated_spacing_mm=look.millimetres("SpacingBetweenSlices"),
            stated_tilt_degrees=look.number(*_TILT) if groups else tilt,
            stack_id=look.text("StackID", "FrameContentSequence"),
            separators=tuple(look.separators(pointers)),
            contrast=contrast or look.contrast(),
            frame_type=look.frame_type() or file.header.image_type,
            conversion_type=conversion,
        )


class _Look:
    """Look an attribute up in the functional groups of a frame, then in the header.

    Source: PS3.3 C.7.6.16 (per-frame before shared).
    """

    def __init__(self, groups: Sequence[Dataset], whole: Sequence[Dataset]) -> None:
        self._groups = groups
        self._whole = whole

    def _places(self, keyword: str, macro: str) -> Iterator[Dataset]:
        if macro:
            for group in self._groups:
                if _is_there(group, macro):
                    yield from items(group, macro)[:1]
        for dataset in self._whole:
            if _is_there(dataset, keyword):
                yield dataset

    def number(self, keyword: str, macro: str = "") -> float | None:
        for place in self._places(keyword, macro):
            if (found := _number(place, keyword)) is not None:
                return found
        return None

    def text(self, keyword: str, macro: str = "") -> str:
        for place in self._places(keyword, macro):
            if found := _plain(place, keyword):
                return found
        return ""

    def millimetres(self, keyword: str) -> float | None:
        found = self.number(keyword, "PixelMeasuresSequence")
        # NM gives the direction as the sign (PS3.3 C.8.4.15).
        return abs(found) if found else None

    def cosines(self) -> Cosines | None:
        keyword = "ImageOrientationPatient"
        for place in self._places(keyword, "PlaneOrientationSequence"):
            if found := check_cosines(_numbers(place, keyword)):
                return found
        return None

    def origin(self) -> Vector | None:
        keyword = "ImagePositionPatient"
        for place in self._places(keyword, "PlanePositionSequence"):
            found = _numbers(place, keyword)
            if len(found) == 3 and max(map(abs, found)) <= _FARTHEST_MM:
                return found[0], found[1], found[2]
        return None

    def separators(self, pointers: Sequence[int | None]) -> Iterator[Separator]:
        for keyword, macro in SEPARATORS:
            for place in self._places(keyword, macro):
                found = _number(place, keyword)
                value = _plain(place, keyword) if found is None else found
                if value != "":
                    yield keyword, value
                    break
        for place in self._places("", "MRDiffusionSequence"):
            for item in items(place, "DiffusionGradientDirectionSequence")[:1]:
                yield "gradient", str(_numbers(item, "DiffusionGradientOrientation"))
        for place in self._places("DiffusionGradientOrientation", ""):
            yield "gradient", str(_numbers(place, "DiffusionGradientOrientation"))
        if kind := self.frame_type() or _values(self._whole, "ImageType"):
            yield "Image Type", "\\".join(kind)
        for place in self._places("", "FrameContentSequence"):
            indices = _numbers(place, "DimensionIndexValues")
            for pointer, index in zip(pointers, indices, strict=False):
                if pointer is not None:
                    yield f"dimension {pointer:08x}", index
        acquisition = self.number("AcquisitionNumber")
        if acquisition is None:
            acquisition = self.number("FrameAcquisitionNumber", "FrameContentSequence")
        if acquisition is not None:
            yield "AcquisitionNumber", acquisition

    def frame_type(self) -> tuple[str, ...]:
        for macro in FRAME_TYPES:
            if found := _values(tuple(self._places("", macro)), "FrameType"):
                return found
        return ()

    def contrast(self) -> bool:
        return (
            self.text("ContrastBolusAgentAdministered", "ContrastBolusUsageSequence")
            == "YES"
        )


def _is_there(dataset: Dataset, keyword: str) -> bool:
    """Tell whether an attribute stands in a data set, faster than `in` does."""
    return _tag(keyword) in dataset.keys()  # noqa: SIM118 - its own `in` is the slow one


@cache
def _tag(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


def _contrast_in_header(dataset: Dataset) -> bool:
    """Tell whether contrast medium was given. Source: PS3.3 C.7.6.4, C.7.6.4b."""
    if has(dataset, "SharedFunctionalGroupsSequence"):
        return False  # the usage of each frame says it
    agent = _plain(dataset, "ContrastBolusAgent")
    return agent not in _NOT_GIVEN or has(dataset, "ContrastBolusAgentSequence")


def _dimensions(dataset: Dataset) -> list[int | None]:
    """Return the Dimension Index Pointers; None for those of places."""
    pointers: list[int | None] = []
    for item in items(dataset, "DimensionIndexSequence"):
        try:
            pointer = int(item.DimensionIndexPointer)
        except (AttributeError, TypeError, ValueError):
            pointer = 0
        pointers.append(None if pointer in PLACES or not pointer else pointer)
    return pointers


def _number(dataset: Dataset, keyword: str) -> float | None:
    """Return a number; what cannot be read counts as absent."""
    try:
        return number(dataset, keyword)
    except PixelError:
        return None


def _numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    try:
        return numbers(dataset, keyword)
    except PixelError:
        return ()


def _plain(dataset: Dataset, keyword: str) -> str:
    try:
        return text(dataset, keyword)
    except PixelError:
        return ""


def _values(datasets: Sequence[Dataset], keyword: str) -> tuple[str, ...]:
    """Return all values of a code string of the first data set that has it."""
    for dataset in datasets:
        try:
            if not has(dataset, keyword):
                continue
            value = dataset.get_item(keyword).value
        except (PixelError, AttributeError):
            continue
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        parts = value.split("\\") if isinstance(value, str) else list(value)
        return tuple(str(part).strip(" \0").upper() for part in parts)
    return ()
