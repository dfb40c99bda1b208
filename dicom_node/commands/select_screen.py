"""What `models select` prints: series, files and findings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicom_node.commands.screen import console
from dicom_node.core.types import Finding, Prediction
from inference.select.choose import Selection
from inference.select.describe import describe_volume
from inference.select.selection import SeriesChoice
from inference.volume import Volume, describe_faults

_COLUMNS = (
    "series", "modality", "description", "images", "plane", "thickness", "volumes",
    "verdict",
)  # fmt: skip
_VOLUMES_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLine:
    """One file: its frames that were chosen, and what became of it."""

    path: str
    frames: tuple[int, ...]
    verdict: str


def print_selection(
    selection: Selection, prediction: Prediction | None, images: Sequence[ImageLine]
) -> None:
    """Print the series as a table, then each file, then what the model says."""
    screen = console()
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, overflow="fold")
    for item in selection.series:
        table.add_row(*(Text(_printable(cell)) for cell in _row(item)))
    screen.print(table)
    for name, text in selection.parameters:
        screen.print(f"{name}: {text}", markup=False)
    for image in images:
        frames = _ranges(image.frames)
        place = f"{image.path}, frames {frames}" if frames else image.path
        screen.print(f"{image.verdict}  {place}", markup=False)
    if prediction is not None:
        _print_prediction(screen, prediction)


def _row(item: SeriesChoice) -> Sequence[str]:
    planes = dict.fromkeys(volume.orientation or "?" for volume in item.volumes)
    thick = dict.fromkeys(
        f"{volume.thickness_mm:g} mm"
        for volume in item.volumes
        if volume.thickness_mm is not None
    )
    volumes = Counter(_describe(volume) for volume in item.volumes)
    shown = [
        f"{count} times {text}" if count > 1 else text
        for text, count in list(volumes.items())[:_VOLUMES_SHOWN]
    ]
    if len(volumes) > _VOLUMES_SHOWN:
        shown.append(f"and {len(volumes) - _VOLUMES_SHOWN} other volumes")
    return (
        "" if item.series_number is None else str(item.series_number),
        item.modality,
        item.description,
        str(item.images),
        ", ".join(planes),
        ", ".join(thick),
        "; ".join(shown),
        describe_verdict(item),
    )


def _describe(volume: Volume) -> str:
    parts = (describe_volume(volume), describe_faults(volume), *volume.notes)
    return "; ".join(part for part in parts if part)


def _ranges(frames: Sequence[int]) -> str:
    """Write frame numbers of a multi-frame image as "1-3, 7"; "" for frame 1 alone."""
    if list(frames) in ([], [1]):
        return ""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return ", ".join(
        str(first) if first == last else f"{first}-{last}" for first, last in runs
    )


def _printable(text: str) -> str:
    """Replace control characters: a description must not steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _print_prediction(screen: Console, prediction: Prediction) -> None:
    said = filter(None, (prediction.outcome.value, prediction.reason))
    screen.print(": ".join(said), markup=False)
    for finding in prediction.findings:
        screen.print(f"  {finding.concept.meaning}: {_amount(finding)}", markup=False)


def _amount(finding: Finding) -> str:
    if finding.value is None:
        return f"{finding.probability:.4f}"
    unit = finding.unit.value if finding.unit else ""
    return f"{finding.value:.6g} {unit}".rstrip()


def describe_verdict(item: SeriesChoice) -> str:
    """Say what of a series was chosen, and why not the rest."""
    reasons = "; ".join(
        f"{count} {'file' if count == 1 else 'files'}: {reason}"
        for reason, count in item.reasons
    )
    if not item.chosen:
        one = len(item.reasons) == 1
        return item.reasons[0][0] if one else reasons
    taken = f"chosen: {item.chosen} of {item.images} images"
    return f"{taken}; {reasons}" if reasons else taken
