"""A decoder that hangs or dies costs its image, not the study."""

import logging
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from dicom_node.core.errors import InferenceError
from inference.api import InputSpec
from inference.guard.record import Record, hand_over, image_key, take_abandoned
from inference.guard.trials import Candidate, Trials
from inference.guard.watch import Watch
from inference.pixels.layout import PixelLimits

log = logging.getLogger("inference.guard")

_SUSPECTS: Final = "suspects"
_REFUSED: Final = "refused"
_PACKAGES: Final = ("imagecodecs", "pydicom", "pylibjpeg-openjpeg", "numpy")
_NEVER: Final[Mapping[Path, str]] = {}
# An image's key, and what of it was decoded: a frame at half its size says nothing of
# the whole one.
_Tried = tuple[str, tuple[int, ...], bool]


class Guard(Protocol):
    """Stands beside the decoders."""

    def study(
        self, images: Sequence[Candidate], spec: InputSpec
    ) -> AbstractContextManager[Mapping[Path, str]]:
        """Watch over a study; give the images that must not be decoded, with why."""

    def frame(self, path: Path) -> AbstractContextManager[object]:
        """Watch over the opening of an image or the decoding of a frame."""

    def close(self) -> None:
        """End the watch."""


class Unguarded:
    """For a process that may die of an image: a test, a command on own files."""

    def study(
        self, images: Sequence[Candidate], spec: InputSpec
    ) -> AbstractContextManager[Mapping[Path, str]]:
        """Refuse nothing."""
        return nullcontext(_NEVER)

    def frame(self, path: Path) -> AbstractContextManager[object]:
        """Do nothing."""
        return nullcontext()

    def close(self) -> None:
        """Do nothing."""


class _Frame:
    """What is under decoding; a class, as a generator takes twice as long."""

    __slots__ = ("_path", "_record", "_slot", "_watch")

    def __init__(self, record: Record, watch: Watch, path: Path) -> None:
        self._record, self._watch, self._path = record, watch, path

    def __enter__(self) -> None:
        self._slot = self._record.note(self._path)
        self._watch.begin(self._slot)

    def __exit__(self, *_: object) -> None:
        self._watch.end(self._slot)
        self._record.strike(self._slot)


class DecodeGuard:
    """Notes what is under decoding, and tries what a process died of elsewhere.

    What was under decoding when a process of this folder died is suspect: the images
    of its study are first tried one by one in a process of their own. Which of them
    ends that one, or takes too long, is refused from then on, by all processes.
    """

    def __init__(self, folder: Path, limits: PixelLimits) -> None:
        """Begin to watch.

        Args:
            folder: shared by all processes that may decode the same images.

        Raises:
            InferenceError: the folder cannot be written.
        """
        self._folder = folder
        self._limits = limits
        try:
            _check_lists(folder)
            self._record = Record(folder)
        except OSError as error:
            raise InferenceError(
                f"the folder of the images under decoding, {folder}, cannot be "
                f"written ({error.strerror}): {_remedy(folder)}"
            ) from error
        self._watch = Watch(limits.frame_seconds)
        self._verdicts: dict[_Tried, str] = {}  # of this process
        self._lock = Lock()
        self._one_study = Lock()  # at a time is tried apart
        # Other codecs or another limit may do better.
        found = [f"{name} {version(name)}" for name in _PACKAGES]
        self._machinery = ", ".join([*found, f"{limits.frame_seconds:g} s"])

    @contextmanager
    def study(
        self, images: Sequence[Candidate], spec: InputSpec
    ) -> Iterator[Mapping[Path, str]]:
        """Watch over a study; give the images that must not be decoded, with why."""
        refused = self._refuse(images, spec)
        with self._watch.study():
            yield refused

    def frame(self, path: Path) -> AbstractContextManager[object]:
        """Watch over the opening of an image or the decoding of a frame."""
        return _Frame(self._record, self._watch, path)

    def close(self) -> None:
        """End the watch."""
        with ExitStack() as closing:
            closing.callback(self._record.close)
            closing.callback(self._watch.close)

    def _refuse(
        self, images: Sequence[Candidate], spec: InputSpec
    ) -> Mapping[Path, str]:
        suspects = self._suspects()
        if not suspects:
            return _NEVER
        keys = {image.path: image_key(image.path).hex() for image in images}
        if suspects.isdisjoint(keys.values()):
            return _NEVER
        with self._one_study:
            known = self._known(images, keys, spec)
            new = [image for image in images if image.path not in known]
            if new:
                log.warning("images are tried apart", extra={"count": len(new)})
                tried = Trials(self._limits, spec=spec).run(new)
                for image in new:
                    key, verdict = keys[image.path], tried[image.path]
                    known[image.path] = verdict.refused
                    self._verdicts[_tried(key, image, spec)] = verdict.refused
                    if verdict.is_deadly:
                        self._keep(key, verdict.refused)
        return {path: reason for path, reason in known.items() if reason}

    def _known(
        self, images: Sequence[Candidate], keys: Mapping[Path, str], spec: InputSpec
    ) -> dict[Path, str]:
        """Return the verdicts on images that need not be tried again."""
        kept, known = self._kept(), {}
        for image in images:
            key = keys[image.path]
            found = kept.get(key, self._verdicts.get(_tried(key, image, spec)))
            if found is not None:
                known[image.path] = found
        return known

    def _suspects(self) -> set[str]:
        """Return what processes died of, or may have."""
        path = self._folder / _SUSPECTS
        with self._lock:
            found = [key.hex() for key in take_abandoned(self._folder)]
            if found:
                log.warning("a decoding process died", extra={"count": len(found)})
                _append(path, found)
                again = set(found)  # what was innocent once may not be so twice
                for tried in [one for one in self._verdicts if one[0] in again]:
                    del self._verdicts[tried]
        return set(_lines(path))

    def _kept(self) -> dict[str, str]:
        """Return what was refused, with these codecs and this limit."""
        found = {}
        for line in _lines(self._folder / _REFUSED):
            key, machinery, reason = (*line.split("\t"), "", "")[:3]
            if machinery == self._machinery:
                found[key] = reason
        return found

    def _keep(self, key: str, reason: str) -> None:
        log.error("image refused", extra={"reason": reason})
        line = "\t".join((key, self._machinery, reason))
        _append(self._folder / _REFUSED, [line])


def _tried(key: str, image: Candidate, spec: InputSpec) -> _Tried:
    return key, image.frames, spec.reduced_decode


def _check_lists(folder: Path) -> None:
    """Refuse to begin where the lists could not be written later.

    Raises:
        OSError: one cannot.
    """
    for path in (folder / _SUSPECTS, folder / _REFUSED):
        if path.exists():
            with path.open("ab"):
                pass


def _remedy(folder: Path) -> str:
    """Say how this user may write a folder that another one made."""
    place = next(path for path in (folder, *folder.parents) if _is_there(path))
    inside = (place / name for name in (_SUSPECTS, _REFUSED))
    for path in (place, *(item for item in inside if _is_there(item))):
        if (owner := path.stat().st_uid) != os.geteuid():
            user = _user(os.geteuid())
            return (
                f"{path} belongs to {_user(owner)} and this process is of {user}: "
                f"`chown -R {user} {place}` as root"
            )
    return "let this user write it"


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _append(path: Path, lines: Sequence[str]) -> None:
    """Add lines in one write, so that those of several processes do not mix."""
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        if is_new:
            hand_over(path)
        file.write("".join(f"{line}\n" for line in lines).encode())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
