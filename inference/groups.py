"""Findings for a study as a whole, or one for each side or view."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dicom_node.core.types import CodedConcept, Finding, ImageResult, InputFile
from inference.api import Model
from inference.views import Shown, read_shown

_NAMES = {
    "laterality": "Image Laterality, Laterality and Frame Laterality",
    "view": "View Code Sequence and View Position",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Images that are concluded on together.

    Args:
        laterality, view: what they have in common, None where nothing is known.
        note: why nothing is known; "" where it is.
    """

    laterality: CodedConcept | None = None
    view: CodedConcept | None = None
    note: str = ""


def conclude_groups(
    model: Model, images: Sequence[ImageResult], files: Sequence[InputFile]
) -> tuple[Finding, ...]:
    """Make findings of the images' scores, for each group that the card asks for.

    Images that do not say their side or view are a group of their own, with a note;
    it is never guessed.

    Args:
        images: results, those without scores are passed over.
        files: of the same images, where side and view are read.

    Raises:
        InferenceError: a score is no result, or does not fit the card.
    """
    evaluated = [image for image in images if image.scores]
    if not evaluated:
        return ()
    group_by = model.card.group_by
    if group_by == "none":
        return model.conclude([image.scores for image in evaluated])
    paths = {file.sop_instance_uid: file.path for file in files}
    members: dict[Group, list[ImageResult]] = {}
    for image in evaluated:
        shown = read_shown(paths[image.sop_instance_uid], image.frames)
        members.setdefault(_group(shown, group_by), []).append(image)
    ordered = sorted(members.items(), key=lambda pair: _order(pair[0]))
    return tuple(_of_groups(model, ordered))


def _of_groups(
    model: Model, members: Sequence[tuple[Group, list[ImageResult]]]
) -> Iterator[Finding]:
    for group, images in members:
        uids = tuple(sorted(image.sop_instance_uid for image in images))
        for finding in model.conclude([image.scores for image in images]):
            yield replace(
                finding,
                laterality=group.laterality,
                view=group.view,
                note=group.note,
                images=uids,
            )


def _group(shown: Shown, group_by: str) -> Group:
    if group_by == "laterality":
        if shown.laterality is not None:
            return Group(laterality=shown.laterality)
        if shown.unpaired:
            return Group(note="The images say that the body part is unpaired")
    elif shown.view is not None:
        return Group(view=shown.view)
    return Group(
        note=f"The {group_by} is unknown: {_NAMES[group_by]} are missing, unknown "
        "or of several kinds"
    )


def _order(group: Group) -> tuple[bool, str, str]:
    concept = group.laterality or group.view
    return bool(group.note), concept.value if concept else "", group.note
