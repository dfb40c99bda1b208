"""What a selection came to: of each file, of each series, and for the record."""

from dataclasses import dataclass

from dicom_node.core.types import InputFile
from inference.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What became of one file.

    Args:
        frames: numbers of the frames for the model, rising from 1.
        skipped: why there are none; "" if there are.
    """

    file: InputFile
    frames: tuple[int, ...] = ()
    skipped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesChoice:
    """What became of one series.

    Args:
        files: those with pixels.
        images: frames of all of them.
        volumes: of the images within the model's scope that the card's conditions
            on single images left; () where nothing had to be read.
        chosen: frames for the model.
        reasons: why images were left out, the most frequent first, with their number.
    """

    series_instance_uid: str
    series_number: int | None
    modality: str
    description: str
    files: int
    images: int
    volumes: tuple[Volume, ...]
    chosen: int
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which frames of a study go to the model, and why not the others.

    Args:
        choices: one per file, in the order given.
        series: by Series Number.
        parameters: what the prediction records of it.
    """

    choices: tuple[Choice, ...]
    series: tuple[SeriesChoice, ...]
    parameters: tuple[tuple[str, str], ...]
