"""What a selection came to: of each file and of each series."""

from dataclasses import dataclass, field

from dicom_node.core.types import InputFile
from inference.pixels.frames import FrameSource
from inference.select.survey import Survey
from inference.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What became of one file.

    Args:
        frames: numbers of the frames for the model, rising from 1.
        skipped: why there are none; "" if there are.
        survey: where to note what the file says of its place.
    """

    file: InputFile
    frames: tuple[int, ...] = ()
    skipped: str = ""
    survey: Survey | None = field(default=None, compare=False, repr=False)

    def opened(self, source: FrameSource) -> None:
        """Hear that the file was opened, which spares opening it once more."""
        if self.survey is not None:
            self.survey.saw(self.file, source)


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
