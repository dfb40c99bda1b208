"""The images of a study as its page lists them: the strongest evidence first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from db.desk import StudyPage
from db.desk_images import ImageLine
from dicom_node.core.results import ImageResult, Prediction
from dicom_node.web.pages_study_view import scores_of
from dicom_node.web.pages_words import show_probability
from dicom_node.web.words import Catalogue

_LISTED: Final = 48  # around the one that is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """One image.

    Args:
        number: in the order of the list, from 1.
        says: its score, or why it has none.
        frames: that were evaluated, from 1; the strongest first where it is known.
    """

    uid: str
    number: int
    says: str
    scored: bool
    windowing: str
    frames: tuple[int, ...]
    all_frames: int
    modality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesView:
    """The images of a study, one of them shown."""

    shown: ImageView
    listed: tuple[ImageView, ...]
    total: int
    before: ImageView | None
    after: ImageView | None
    frame: int


def images_view(
    t: Catalogue,
    page: StudyPage,
    lines: Sequence[ImageLine],
    *,
    wanted: str,
    frame: int,
) -> ImagesView | None:
    """Return the images, None if there are none or their files are gone.

    Args:
        wanted: SOP Instance UID to show; "" for the strongest.
        frame: number to show, from 1; 0 for the strongest.
    """
    if page.line.files_gone:
        return None
    found = scores_of(page)
    # The rest keeps the order of series and number.
    ordered = sorted(lines, key=lambda line: _strength(found, line.sop_instance_uid))
    views = [
        _view(t, found.get(line.sop_instance_uid), line, number)
        for number, line in enumerate(ordered, start=1)
    ]
    if not views:
        return None
    place = next((n for n, view in enumerate(views) if view.uid == wanted), 0)
    start = max(min(place - _LISTED // 2, len(views) - _LISTED), 0)
    shown = views[place]
    return ImagesView(
        shown=shown,
        listed=tuple(views[start : start + _LISTED]),
        total=len(views),
        before=views[place - 1] if place else None,
        after=views[place + 1] if place + 1 < len(views) else None,
        frame=min(frame, shown.all_frames) or (shown.frames[0] if shown.frames else 1),
    )


def _strength(found: Mapping[str, tuple[Prediction, ImageResult]], uid: str) -> float:
    """Return the score that counts, negated; what has none comes last."""
    known = found.get(uid)
    if known is None or not known[1].scores:
        return 1.0
    return -_score(*known)


def _score(prediction: Prediction, image: ImageResult) -> float:
    """Return the score of the leading finding's class."""
    index = _leading_class(prediction)
    if index is None or not 0 <= index < len(image.scores):
        return max(image.scores)
    return image.scores[index]


def _leading_class(prediction: Prediction) -> int | None:
    leading = max(
        prediction.findings,
        key=lambda item: (bool(item.present), item.probability),
        default=None,
    )
    return leading.class_index if leading else None


def _strongest_first(
    known: tuple[Prediction, ImageResult] | None,
) -> tuple[int, ...]:
    """Return the frames that were evaluated, first the one with the highest score."""
    if known is None:
        return ()
    prediction, image = known
    index = _leading_class(prediction)
    if index is None or not 0 <= index < len(image.peaks):
        return image.frames
    return tuple(dict.fromkeys((image.peaks[index], *image.frames)))


def _view(
    t: Catalogue,
    known: tuple[Prediction, ImageResult] | None,
    line: ImageLine,
    number: int,
) -> ImageView:
    image = known[1] if known else None
    says = ""
    if known and image and image.scores:
        says = f"{t('study.score')} {show_probability(_score(*known))}"
        if any(item.value is not None for item in known[0].findings):
            says = f"{t('study.score')} {_score(*known):.4g}"
    elif image:
        says = t.say(image.error or image.skipped)
    return ImageView(
        uid=line.sop_instance_uid,
        number=number,
        says=says,
        scored=bool(image and image.scores),
        windowing=t.say(image.windowing) if image else "",
        frames=_strongest_first(known),
        all_frames=line.header.number_of_frames,
        modality=line.header.modality,
    )
