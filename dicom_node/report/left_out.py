"""Which images of a study a result does not rest on, and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from dicom_node.core.results import NOT_SELECTED
from dicom_node.core.types import ImageResult, Prediction
from dicom_node.report.evidence import (
    Evidence,
    ImageReference,
    can_be_named,
    image_reference,
)

MAX_REASONS: Final = 5
MAX_REFERENCES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Images that were left out for one reason.

    Args:
        failed: they should have been evaluated and could not be; else they are not
            for this model.
        reason: a sentence for people; several, where there are too many to tell
            apart.
        counted: `reason`, and of how many of how many images.
        text: `counted`, and how many of them `images` are, if not all.
        images: those that can be referenced, at most MAX_REFERENCES.
    """

    failed: bool
    reason: str
    counted: str
    text: str
    images: tuple[ImageReference, ...]


def left_out(prediction: Prediction, evidence: Evidence) -> tuple[LeftOut, ...]:
    """Group the images that gave no score by reason, failures first.

    Objects without pixels are no images; they are not counted. Nor is what the card
    did not ask for, beside images that were evaluated: it is not missed.
    """
    references = {
        result.sop_instance_uid: image_reference(result, file)
        for result, file in evidence.images
        if file.header.has_pixels
    }
    images = [
        image
        for image in prediction.images
        if (image.scores or image.error or image.sop_instance_uid in references)
        and not (prediction.evaluated and image.skipped.startswith(NOT_SELECTED))
    ]
    found = []
    for failed in (True, False):
        missing = [
            image for image in images if (image.error if failed else image.skipped)
        ]
        for reason, members in _by_reason(missing):
            named = [
                references[image.sop_instance_uid]
                for image in members
                if image.sop_instance_uid in references
                and can_be_named(image.sop_instance_uid)
            ]
            found.append(
                LeftOut(
                    failed=failed,
                    reason=reason,
                    counted=_count(reason, len(members), len(images)),
                    text=_say(reason, len(members), len(images), len(named)),
                    images=tuple(named[:MAX_REFERENCES]),
                )
            )
    return tuple(found)


def _by_reason(
    images: Sequence[ImageResult],
) -> list[tuple[str, list[ImageResult]]]:
    """Group by reason, the most frequent first; the rare ones beyond share a group."""
    counts = Counter(_reason(image) for image in images)
    ordered = [reason for reason, _ in counts.most_common()]
    kept = ordered if len(ordered) <= MAX_REASONS else ordered[: MAX_REASONS - 1]
    other = "; ".join(f"{reason} ({counts[reason]})" for reason in ordered[len(kept) :])
    places = {reason: place for place, reason in enumerate(kept)}

    def place(image: ImageResult) -> int:
        return places.get(_reason(image), len(kept))

    return [
        (kept[index] if index < len(kept) else other, list(members))
        for index, members in groupby(sorted(images, key=place), place)
    ]


def _reason(image: ImageResult) -> str:
    return (image.error or image.skipped).rstrip(".")


def _count(reason: str, count: int, total: int) -> str:
    verb = "was" if count == 1 else "were"
    return f"{count} of {total} images {verb} not evaluated: {reason}."


def _say(reason: str, count: int, total: int, named: int) -> str:
    text = _count(reason, count, total)
    if min(named, MAX_REFERENCES) < count:
        text += f" {min(named, MAX_REFERENCES)} of them are referenced here."
    return text
