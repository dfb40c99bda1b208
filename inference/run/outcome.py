"""What the images of a study come to, in words."""

from collections import Counter
from collections.abc import Sequence

from dicom_node.core.states import Outcome
from dicom_node.core.types import ImageResult

_REASONS_SHOWN = 4
_NO_PIXELS = "there is no pixel data"


def settle_outcome(images: Sequence[ImageResult]) -> tuple[Outcome | None, str]:
    """Say what the images come to and why; None where the findings decide.

    Returns:
        not_evaluated when no image is within the scope, failed when all of those
        failed; otherwise None, with the images that failed in the reason.
    """
    failed = [image.error for image in images if image.error]
    evaluated = sum(1 for image in images if image.scores)
    if evaluated:
        within = evaluated + len(failed)
        reason = f"{len(failed)} of {within} images failed: {summarise(failed)}"
        return None, reason if failed else ""
    if failed:
        return Outcome.FAILED, summarise(failed)
    skipped = [image.skipped for image in images]
    # Reports and presentation states beside images do not explain anything.
    telling = [reason for reason in skipped if reason != _NO_PIXELS] or skipped
    return Outcome.NOT_EVALUATED, summarise(telling) or "The study has no images"


def summarise(reasons: Sequence[str]) -> str:
    """Make one text of the reasons of several images, the most frequent first."""
    counted = sorted(Counter(reasons).items(), key=lambda item: (-item[1], item[0]))
    if len(counted) <= 1:
        return "".join(_capital(reason) for reason, _ in counted)
    parts = [
        f"{count} image{'s' if count > 1 else ''}: {_capital(reason)}"
        for reason, count in counted[:_REASONS_SHOWN]
    ]
    if rest := sum(count for _, count in counted[_REASONS_SHOWN:]):
        parts.append(f"{rest} more for other reasons")
    return ". ".join(parts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
