"""Where the images of a study lie, learned while they are opened anyway."""

from dataclasses import dataclass, field

from dicom_node.core.types import InputFile
from inference.pixels.frames import FrameSource
from inference.volume_planes import Plane, planes_of, read_planes


@dataclass(slots=True)
class Survey:
    """The planes of files by identity; several threads may add to it."""

    _planes: dict[int, tuple[Plane, ...]] = field(default_factory=dict)

    def saw(self, file: InputFile, source: FrameSource) -> None:
        """Note where the frames of an opened file lie."""
        if id(file) not in self._planes:
            self._planes[id(file)] = planes_of(file, source)

    def planes(self, file: InputFile) -> tuple[Plane, ...]:
        """Return the planes of a file, read now if nobody has opened it."""
        known = self._planes.get(id(file))
        if known is None:
            known = self._planes[id(file)] = read_planes(file)
        return known
