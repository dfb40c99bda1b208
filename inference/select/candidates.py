"""The series of a study, with the volumes that are left of each for a card."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from dicom_node.core.results import NOT_SELECTED
from dicom_node.core.types import InputFile
from inference.api import ModelCard
from inference.scope import frame_outside_scope, says_more_inside
from inference.select.criteria import (
    count_misses,
    image_misses,
    plane_misses,
    volume_misses,
)
from inference.select.spec import SelectionSpec
from inference.select.survey import Survey
from inference.volume import Volume, VolumeFrame
from inference.volume_build import build_volumes
from inference.volume_planes import Plane


@dataclass(slots=True)
class Ledger:
    """Which frames of which files are taken, and why others are not."""

    frames: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _reasons: dict[int, Counter[str]] = field(default_factory=dict)

    def skip(self, file: InputFile, reason: str, *, frames: int = 1) -> None:
        """Note why frames of a file are left out."""
        self._reasons.setdefault(id(file), Counter())[reason] += frames

    def leave_out(self, volume: Volume, reason: str) -> None:
        """Note why all frames of a volume are not selected."""
        for frame in volume.frames:
            self.skip(frame.file, NOT_SELECTED + reason)

    def take(self, frame: VolumeFrame) -> None:
        """Note that a frame goes to the model."""
        self.frames[id(frame.file)].append(frame.frame_number)

    def reason(self, file: InputFile) -> str:
        """Return why most of a file's frames were left out, "" if none was."""
        reasons = self._reasons.get(id(file))
        return reasons.most_common(1)[0][0] if reasons else ""


@dataclass(slots=True)
class Candidate:
    """A series and what of it fits so far."""

    series_instance_uid: str
    files: list[InputFile]
    inside: list[InputFile] = field(default_factory=list)
    fitting: tuple[Volume, ...] = ()
    _volumes: tuple[Volume, ...] | None = None
    _left: list[InputFile] = field(default_factory=list)

    @property
    def series_number(self) -> int | None:
        """Series Number of the first file that has one."""
        numbers = (file.header.series_number for file in self.files)
        return next((number for number in numbers if number is not None), None)

    def keep_volumes(self, planes: Sequence[Plane]) -> None:
        """Make volumes of planes that were read."""
        self._volumes = build_volumes(planes)

    def keep_files(self, files: Sequence[InputFile]) -> None:
        """Keep files whose volumes are made when somebody asks for them."""
        self._left = list(files)

    def volumes(self, survey: Survey) -> tuple[Volume, ...]:
        """Return what the conditions on single images left, as volumes."""
        if self._volumes is None:
            planes = [plane for file in self._left for plane in survey.planes(file)]
            self._volumes = build_volumes([item for item in planes if item.readable])
        return self._volumes

    @property
    def images(self) -> int:
        """How many frames fit."""
        return sum(len(volume.frames) for volume in self.fitting)

    @property
    def order(self) -> tuple[bool, int, str]:
        """Series Number, missing ones last, then Series Instance UID."""
        number = self.series_number
        return (number is None, number or 0, self.series_instance_uid)


def find_candidates(
    files: Sequence[InputFile], scope_reasons: Sequence[str]
) -> list[Candidate]:
    """Group files by series; those with a reason are outside the scope."""
    found: dict[str, Candidate] = {}
    for file, reason in zip(files, scope_reasons, strict=True):
        uid = str(file.series_instance_uid)
        candidate = found.setdefault(uid, Candidate(uid, []))
        candidate.files.append(file)
        if not reason:
            candidate.inside.append(file)
    return sorted(found.values(), key=lambda item: item.order)


def fit(
    candidate: Candidate, card: ModelCard, *, ledger: Ledger, survey: Survey
) -> None:
    """Find the volumes of a series that meet the card's conditions."""
    spec = card.selection
    fits, broken = [], []
    left = _images_that_fit(candidate.inside, spec, ledger)
    planes = _planes_that_fit(left, card, ledger=ledger, survey=survey)
    if _must_read(left, spec):
        broken = [plane for plane in planes if not plane.readable]
        candidate.keep_volumes([plane for plane in planes if plane.readable])
        for volume in candidate.volumes(survey):
            if reason := volume_misses(volume, spec):
                ledger.leave_out(volume, reason)
            else:
                fits.append(volume)
    else:
        candidate.keep_files([plane.file for plane in planes])
        broken = list(planes)
    # Nobody knows yet what the broken ones show: their evaluation says what is wrong.
    fits += build_volumes(broken)
    candidate.fitting = tuple(fits)
    if reason := count_misses(candidate.images, spec):
        for volume in fits:
            ledger.leave_out(volume, reason)
        candidate.fitting = ()


def _images_that_fit(
    files: Sequence[InputFile], spec: SelectionSpec, ledger: Ledger
) -> list[InputFile]:
    left = []
    for file in files:
        if reason := image_misses(file.header, spec):
            frames = file.header.number_of_frames
            ledger.skip(file, NOT_SELECTED + reason, frames=frames)
        else:
            left.append(file)
    return left


def _planes_that_fit(
    files: Sequence[InputFile], card: ModelCard, *, ledger: Ledger, survey: Survey
) -> list[Plane]:
    spec = card.selection
    must_read = _must_read(files, spec)
    kept = []
    for file in files:
        for plane in survey.planes(file) if must_read else (_unread(file),):
            if reason := frame_outside_scope(
                plane.frame_type, card.scope, conversion_type=plane.conversion_type
            ):
                ledger.skip(file, reason)
            elif reason := plane_misses(plane, spec):
                ledger.skip(file, NOT_SELECTED + reason)
            else:
                kept.append(plane)
    return kept


def _must_read(files: Sequence[InputFile], spec: SelectionSpec) -> bool:
    """Tell whether the choice depends on where the images lie."""
    if _needs_geometry(spec):
        return True
    if any(says_more_inside(file) for file in files):
        return True
    frames = sum(file.header.number_of_frames for file in files)
    counted = spec.max_images is not None or spec.frames not in ("spread", "key")
    return frames > 1 and (counted or frames > len(files))


def _needs_geometry(spec: SelectionSpec) -> bool:
    return bool(
        spec.orientations
        or spec.refuse_faults
        or spec.contrast is not None
        or spec.min_slice_thickness_mm is not None
        or spec.max_slice_thickness_mm is not None
    )


def _unread(file: InputFile) -> Plane:
    """Make the plane of a single image of which its place does not matter."""
    return Plane(file=file, frame_number=1, frame_type=file.header.image_type)
