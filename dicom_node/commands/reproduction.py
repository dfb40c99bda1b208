"""Compares two predictions of one study bit by bit, and says what changed between."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import Final

from dicom_node.core.provenance import InputDigest, Machinery, Provenance
from dicom_node.core.types import Finding, ImageResult, Prediction

BIT_EQUAL: Final = "bit-equal"
WITHIN_TOLERANCE: Final = "within tolerance"
DIFFERENT: Final = "different"

_DIGITS_SHOWN: Final = 12
_NAMED: Final = 8
_UNKNOWN: Final = "not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberPair:
    """One number in both predictions.

    Args:
        where: for people, e.g. "image 3 of 30, class 1 (Pneumonia)".
        image: which image, from 1 in the order of the stored result; None for a
            number of a finding.
    """

    where: str
    image: int | None
    before: float
    after: float

    @property
    def same_bits(self) -> bool:
        """Whether both are the same 64 bits."""
        return struct.pack("<d", self.before) == struct.pack("<d", self.after)

    @property
    def difference(self) -> float:
        """The distance; infinite where one of them is not a number."""
        if self.same_bits:
            return 0.0
        distance = abs(self.before - self.after)
        return math.inf if math.isnan(distance) else distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something recorded that is not as it was."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a second run came to beside the first.

    Args:
        largest: the pair of numbers furthest apart, None if all bits are the same.
        differences: what no tolerance covers: another outcome, other images.
        changes: what is not as it was when the first result was made.
        numbers: how many scores and values were compared.
    """

    largest: NumberPair | None
    differences: tuple[str, ...]
    changes: tuple[Change, ...]
    numbers: int

    def verdict(self, tolerance: float) -> str:
        """Return one of the three verdicts.

        Args:
            tolerance: the largest difference that counts as none; 0 asks for the
                same bits.
        """
        if self.differences:
            return DIFFERENT
        if self.largest is None:
            return BIT_EQUAL
        if tolerance > 0 and self.largest.difference <= tolerance:
            return WITHIN_TOLERANCE
        return DIFFERENT


def compare(before: Prediction, after: Prediction) -> Comparison:
    """Compare every score of every image and everything in the findings."""
    pairs = [*_scores(before, after), *_values(before, after)]
    apart = [pair for pair in pairs if not pair.same_bits]
    return Comparison(
        largest=max(apart, key=lambda pair: pair.difference, default=None),
        differences=tuple(_differences(before, after)),
        changes=changes(before, after),
        numbers=len(pairs),
    )


def changes(before: Prediction, after: Prediction) -> tuple[Change, ...]:
    """Name what is recorded of both runs and is not the same."""
    found: list[Change] = []

    def look(what: str, old: str, new: str) -> None:
        if old != new:
            found.append(Change(what=what, before=old or "", after=new or ""))

    look("model version", before.model_version, after.model_version)
    look("weights", _short(before.weights_sha256), _short(after.weights_sha256))
    old, new = before.provenance, after.provenance
    if old is None or new is None:
        if old is not new:
            look("provenance", *(_UNKNOWN if one is None else "" for one in (old, new)))
        return tuple(found)
    look("card", _short(old.card_sha256), _short(new.card_sha256))
    look("code", _code(old), _code(new))
    found += _changed_settings(dict(old.settings), dict(new.settings))
    found += _changed_inputs(old.inputs, new.inputs)
    found += _changed_machinery(old.machinery, new.machinery)
    return tuple(found)


def _scores(before: Prediction, after: Prediction) -> Iterator[NumberPair]:
    again = {image.sop_instance_uid: image for image in after.images}
    total = len(before.images)
    for number, image in enumerate(before.images, start=1):
        other = again.get(image.sop_instance_uid)
        if other is None or len(other.scores) != len(image.scores):
            continue
        pairs = zip(image.scores, other.scores, strict=True)
        for index, (old, new) in enumerate(pairs):
            yield NumberPair(
                where=f"image {number} of {total}, {_class_name(before, index)}",
                image=number,
                before=old,
                after=new,
            )


def _values(before: Prediction, after: Prediction) -> Iterator[NumberPair]:
    for number, (old, new) in enumerate(
        zip(before.findings, after.findings, strict=False), start=1
    ):
        for item in fields(Finding):
            one, other = getattr(old, item.name), getattr(new, item.name)
            if isinstance(one, float) and isinstance(other, float):
                yield NumberPair(
                    where=f"{_finding_name(old, number)}, {item.name}",
                    image=None,
                    before=one,
                    after=other,
                )


def _differences(before: Prediction, after: Prediction) -> Iterator[str]:
    """Say what differs that has no distance."""
    if before.outcome is not after.outcome:
        yield f"the outcome was {before.outcome} and is {after.outcome}"
    yield from _other_images(before.images, after.images)
    for number, (old, new) in enumerate(
        zip_longest(before.findings, after.findings), start=1
    ):
        if old is None or new is None:
            yield (
                f"there were {len(before.findings)} findings and are "
                f"{len(after.findings)}"
            )
            return
        for item in fields(Finding):
            one, other = getattr(old, item.name), getattr(new, item.name)
            numbers = isinstance(one, float) and isinstance(other, float)
            if one != other and not numbers:
                yield f"{_finding_name(old, number)}: another {item.name}"


def _other_images(
    before: Sequence[ImageResult], after: Sequence[ImageResult]
) -> Iterator[str]:
    again = {image.sop_instance_uid: image for image in after}
    for number, image in enumerate(before, start=1):
        other = again.pop(image.sop_instance_uid, None)
        if other is None:
            yield f"image {number} is not among the images now"
        elif bool(image.scores) != bool(other.scores):
            was, now = (
                "evaluated" if one.scores else "not evaluated" for one in (image, other)
            )
            yield f"image {number} was {was} and is {now}{_why(image, other)}"
        elif len(image.scores) != len(other.scores):
            yield f"image {number} has another number of scores"
        elif image.frames != other.frames:
            yield f"image {number}: other frames were evaluated"
    if again:
        yield f"{len(again)} images were not among the images then"


def _why(image: ImageResult, other: ImageResult) -> str:
    left_out = image if other.scores else other
    reason = left_out.error or left_out.skipped
    return f": {reason}" if reason else ""


def _class_name(prediction: Prediction, index: int) -> str:
    for finding in prediction.findings:
        if finding.class_index == index:
            return f"class {index + 1} ({finding.concept.meaning})"
    return f"class {index + 1}"


def _finding_name(finding: Finding, number: int) -> str:
    return f"finding {number} ({finding.concept.meaning})"


def _short(digest: str) -> str:
    return digest[:_DIGITS_SHOWN]


def _code(made_with: Provenance) -> str:
    return f"{made_with.code_version} ({_short(made_with.code_sha256)})"


def _changed_settings(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Change]:
    """Name settings that differ; one that a version did not know is no change."""
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield Change(what=f"setting {name}", before=before[name], after=after[name])


def _changed_inputs(
    before: Sequence[InputDigest], after: Sequence[InputDigest]
) -> Iterator[Change]:
    old = {item.sop_instance_uid: item.dataset_digest for item in before}
    new = {item.sop_instance_uid: item.dataset_digest for item in after}
    gone = [i for i, one in enumerate(before, 1) if one.sop_instance_uid not in new]
    other = [
        i
        for i, one in enumerate(before, 1)
        if new.get(one.sop_instance_uid, one.dataset_digest) != one.dataset_digest
    ]
    added = [uid for uid in new if uid not in old]
    if gone:
        yield Change(what="inputs missing", before=_numbers(gone), after="")
    if other:
        yield Change(what="inputs with other bytes", before=_numbers(other), after="")
    if added:
        yield Change(what="inputs added", before="", after=str(len(added)))


def _numbers(found: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"number {shown}{more}"


def _changed_machinery(before: Machinery, after: Machinery) -> Iterator[Change]:
    for what, old, new in (
        ("engine", before.engine, after.engine),
        ("precision", before.precision, after.precision),
        ("device", before.device, after.device),
        ("processor", before.device_name, after.device_name),
        ("threads", str(before.threads), str(after.threads)),
    ):
        if old != new:
            yield Change(what=what, before=old, after=new)
    versions = dict(after.libraries)
    for name, old in before.libraries:
        if name in versions and versions[name] != old:
            yield Change(what=name, before=old, after=versions[name])
