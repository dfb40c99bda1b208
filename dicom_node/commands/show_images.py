"""The images of a result, as `show` lists them: first those that failed."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dicom_node.core.types import ImageResult

_FAILED_SHOWN = 100
_EVALUATED_SHOWN = 12


def describe_images(images: Sequence[ImageResult]) -> Iterator[str]:
    """Yield a line for every image that failed, then what became of the others."""
    failed = [image for image in images if image.error]
    evaluated = [image for image in images if image.scores]
    for image in failed[:_FAILED_SHOWN]:
        yield f"image {image.sop_instance_uid}: FAILED: {image.error}"
    if more := len(failed) - _FAILED_SHOWN:
        yield from _more(more, "failed")
    for image in evaluated[:_EVALUATED_SHOWN]:
        yield f"image {image.sop_instance_uid}: evaluated, {image.windowing}"
    if more := len(evaluated) - _EVALUATED_SHOWN:
        yield from _more(more, "evaluated")
    left_out = Counter(image.skipped for image in images if image.skipped)
    for reason, count in left_out.most_common():
        yield f"{_images(count)} left out: {reason}"


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"and {count} more image{'' if count == 1 else 's'} {what}"


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"
