"""Say in the prediction's parameters what was selected and what is wrong with it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from inference.api import ModelCard
from inference.select.frames import describe_frames
from inference.select.selection import SeriesChoice
from inference.select.spec import SelectionSpec
from inference.volume import Volume, describe_faults

_SHOWN = 4


def describe_selection(
    series: Sequence[SeriesChoice], card: ModelCard
) -> tuple[tuple[str, str], ...]:
    """Name series and frames that were chosen, and faults of their volumes.

    A card without [selection] and a study of single images have nothing to tell.
    """
    spec = card.selection
    chosen = [item for item in series if item.chosen]
    stacks = [
        (item, volume)
        for item in chosen
        for volume in item.volumes
        if volume.normal is not None
    ]
    named = {
        "selected": _join(_series(item) for item in chosen)
        if stacks or spec != SelectionSpec()
        else "",
        "frames": _frames(chosen, card),
        "volumes": _join(_volume(item, volume) for item, volume in stacks),
        "volume faults": _join(
            f"{_name(item)}: {faults}"
            for item, volume in stacks
            if (faults := describe_faults(volume))
        ),
        "volume notes": _join(
            f"{_name(item)}: {note}" for item, volume in stacks for note in volume.notes
        ),
    }
    return tuple((name, text) for name, text in named.items() if text)


def describe_volume(volume: Volume) -> str:
    """Say how many images of which plane lie how far apart."""
    count = len(volume.frames)
    images = f"{count} image{'' if count == 1 else 's'}"
    plane = f"{volume.orientation}, " if volume.orientation else ""
    apart = (
        f", {volume.spacing_mm:.2f} mm apart" if volume.spacing_mm is not None else ""
    )
    return f"{plane}{images}{apart}"


def code_or_unknown(value: str) -> str:
    """Return a code string, "?" for text that may be anything (PS3.5 6.2)."""
    code = value.strip().upper()
    return code if re.fullmatch(r"[A-Z0-9_ ]{1,16}", code) else "?"


def _series(item: SeriesChoice) -> str:
    return f"{_name(item)}, {item.chosen} of {item.images} images"


def _name(item: SeriesChoice) -> str:
    number = "without number" if item.series_number is None else item.series_number
    return f"series {number} ({code_or_unknown(item.modality)})"


def _volume(item: SeriesChoice, volume: Volume) -> str:
    return f"{_name(item)}: {describe_volume(volume)}"


def _frames(chosen: Sequence[SeriesChoice], card: ModelCard) -> str:
    taken = sum(item.chosen for item in chosen)
    images = sum(item.images for item in chosen)
    if not chosen or (taken == images and card.selection == SelectionSpec()):
        return ""
    text = describe_frames(card.selection, max_frames=card.max_frames)
    limit = card.selection.max_images
    most = f", at most {limit} of the study" if limit is not None else ""
    return f"{text}{most}: {taken} of {images}"


def _join(texts: Iterable[str]) -> str:
    """Put the first few different texts in one line, each with how often it came."""
    counted = list(Counter(texts).items())
    parts = [
        f"{count} times {text}" if count > 1 else text
        for text, count in counted[:_SHOWN]
    ]
    if rest := sum(count for _, count in counted[_SHOWN:]):
        parts.append(f"and {rest} more")
    return "; ".join(parts)
