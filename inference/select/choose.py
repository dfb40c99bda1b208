"""Choose the series and the frames of a study that go to a model."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dicom_node.core.results import NOT_SELECTED
from dicom_node.core.types import InputFile
from inference.api import ModelCard
from inference.scope import outside_scope
from inference.select.candidates import (
    Candidate,
    Ledger,
    find_candidates,
    fit,
)
from inference.select.describe import describe_selection
from inference.select.frames import describe_frames, frames_of_volume, spread
from inference.select.key_objects import KeyFrames, read_key_frames
from inference.select.selection import Choice, SeriesChoice
from inference.select.spec import SelectionSpec
from inference.select.survey import Survey
from inference.volume import VolumeFrame


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which frames of a study go to the model, and why not the others.

    Where images lie is read at once only if the choice depends on it; else when it
    is asked for, or while the images are evaluated (`Choice.opened`).

    Args:
        choices: one per file, in the order given.
    """

    choices: tuple[Choice, ...]
    card: ModelCard
    candidates: tuple[Candidate, ...]
    ledger: Ledger
    survey: Survey

    @cached_property
    def series(self) -> tuple[SeriesChoice, ...]:
        """What became of each series, by Series Number."""
        return tuple(self._describe(item) for item in self.candidates)

    @cached_property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """What the prediction records; asked for when the images are evaluated."""
        taken = [
            item
            for item in self.candidates
            if any(self.ledger.frames.get(id(file)) for file in item.files)
        ]
        return describe_selection([self._describe(item) for item in taken], self.card)

    def _describe(self, candidate: Candidate) -> SeriesChoice:
        return _series_choice(candidate, self.ledger, self.survey)


def select(files: Sequence[InputFile], card: ModelCard) -> Selection:
    """Choose what of a study goes to the model, with a reason for all the rest.

    The same files give the same choice, whatever their order.

    Returns:
        One choice per file, in the order given. A file that cannot be read is
        chosen where its header does not rule it out, so that its evaluation says
        what is wrong with it.
    """
    spec = card.selection
    ledger, survey = Ledger(), Survey()
    outside = [outside_scope(file, card.scope) for file in files]
    for file, reason in zip(files, outside, strict=True):
        if reason:
            ledger.skip(file, reason)
    candidates = find_candidates(files, outside)
    for candidate in candidates:
        fit(candidate, card, ledger=ledger, survey=survey)
    chosen = _choose_series(candidates, spec, ledger)
    keys = read_key_frames(files) if spec.frames == "key" else None
    frames = [
        frame
        for candidate in chosen
        for frame in _frames_of_series(candidate, card, keys, ledger)
    ]
    for frame in _limit_study(frames, spec, ledger):
        ledger.take(frame)
    return Selection(
        choices=tuple(_choice(file, ledger, survey) for file in files),
        card=card,
        candidates=tuple(candidates),
        ledger=ledger,
        survey=survey,
    )


def _choose_series(
    candidates: Sequence[Candidate], spec: SelectionSpec, ledger: Ledger
) -> list[Candidate]:
    fitting = [item for item in candidates if item.fitting]
    if spec.series == "all" or not fitting:
        return fitting
    if spec.series == "first":
        best = min(fitting, key=lambda item: item.order)
    else:
        best = min(fitting, key=lambda item: (-item.images, item.series_instance_uid))
    for item in fitting:
        if item is not best:
            for volume in item.fitting:
                ledger.leave_out(
                    volume, f"the model takes the {spec.series} series that fits"
                )
    return [best]


def _frames_of_series(
    candidate: Candidate, card: ModelCard, keys: KeyFrames | None, ledger: Ledger
) -> list[VolumeFrame]:
    """Choose frames of each volume of a series, in volume order."""
    spec = card.selection
    taken: list[VolumeFrame] = []
    for volume in candidate.fitting:
        frames = frames_of_volume(volume, spec)
        if keys is not None:
            frames = tuple(item for item in frames if _is_key(item, keys))
        taken += frames
        wanted = {(id(item.file), item.frame_number) for item in frames}
        reason = _why_not_these(card, keys)
        for item in volume.frames:
            if (id(item.file), item.frame_number) not in wanted:
                ledger.skip(item.file, NOT_SELECTED + reason)
    if spec.frames in ("spread", "key"):
        return _limit_images(taken, card, keys)
    return taken


def _is_key(frame: VolumeFrame, keys: KeyFrames) -> bool:
    named = keys.get(str(frame.file.sop_instance_uid))
    return named is not None and (not named or frame.frame_number in named)


def _why_not_these(card: ModelCard, keys: KeyFrames | None) -> str:
    if keys is None:
        taken = describe_frames(card.selection, max_frames=card.max_frames)
        return f"of the images the model takes {taken}"
    if not keys:
        return "no Key Object Selection of the study names an image"
    return "no Key Object Selection names it"


def _limit_images(
    frames: Sequence[VolumeFrame], card: ModelCard, keys: KeyFrames | None
) -> list[VolumeFrame]:
    """Take at most the card's max_frames of each image, evenly spread.

    Frames that a Key Object Selection names one by one are all taken.
    """
    by_image: dict[int, list[VolumeFrame]] = defaultdict(list)
    for frame in frames:
        by_image[id(frame.file)].append(frame)
    kept = set()
    for members in by_image.values():
        uid = str(members[0].file.sop_instance_uid)
        named = bool(keys and keys.get(uid))
        some = members if named else spread(members, card.max_frames)
        kept |= {(id(item.file), item.frame_number) for item in some}
    return [item for item in frames if (id(item.file), item.frame_number) in kept]


def _limit_study(
    frames: Sequence[VolumeFrame], spec: SelectionSpec, ledger: Ledger
) -> Sequence[VolumeFrame]:
    if spec.max_images is None or len(frames) <= spec.max_images:
        return frames
    reason = f"{NOT_SELECTED}the model takes at most {spec.max_images} images"
    for frame in frames:
        ledger.skip(frame.file, reason)
    return spread(frames, spec.max_images)


def _choice(file: InputFile, ledger: Ledger, survey: Survey) -> Choice:
    frames = tuple(sorted(ledger.frames.get(id(file), ())))
    return Choice(
        file=file,
        frames=frames,
        skipped="" if frames else ledger.reason(file),
        survey=survey,
    )


def _series_choice(
    candidate: Candidate, ledger: Ledger, survey: Survey
) -> SeriesChoice:
    first = candidate.files[0].header
    skipped = Counter(
        ledger.reason(file)
        for file in candidate.files
        if not ledger.frames.get(id(file))
    )
    return SeriesChoice(
        series_instance_uid=candidate.series_instance_uid,
        series_number=candidate.series_number,
        modality=first.modality,
        description=first.series_description,
        files=len(candidate.files),
        images=sum(
            file.header.number_of_frames
            for file in candidate.files
            if file.header.has_pixels
        ),
        volumes=candidate.volumes(survey),
        chosen=sum(len(ledger.frames.get(id(file), ())) for file in candidate.files),
        reasons=tuple(sorted(skipped.items(), key=lambda item: (-item[1], item[0]))),
    )
