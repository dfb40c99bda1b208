"""Send files to an application entity as they are: `dicom-node send` and `echo`."""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)
from pynetdicom import build_context
from pynetdicom.dsutils import split_dataset
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # pynetdicom makes these names at import

from dicom_node.core.errors import DeliveryError, UsageError
from dicom_node.deliver.association import (
    MAX_CONTEXTS,
    Link,
    NothingAccepted,
    associate,
)
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.status import SUCCESS, read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """What became of one file.

    Args:
        status: what the peer answered, None if it was not asked or gave none.
        problem: why it is not there, or the peer's warning; "" otherwise.
        seconds: from its first byte to the status.
    """

    path: Path
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    status: int | None = None
    problem: str = ""
    seconds: float = 0.0

    @property
    def taken(self) -> bool:
        """Whether the peer has it."""
        return self.status is not None and read_status(self.status).taken


@dataclass(frozen=True, slots=True, kw_only=True)
class SendProgress:
    """How far a sending is; `done` counts from 1."""

    done: int
    total: int
    last: SentFile


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSummary:
    """What became of every file, in the order of the paths."""

    files: tuple[SentFile, ...]
    seconds: float

    @property
    def taken(self) -> int:
        """How many files the peer has."""
        return sum(file.taken for file in self.files)

    @property
    def complete(self) -> bool:
        """Whether the peer has every file."""
        return self.taken == len(self.files)


def echo(peer: Peer) -> float:
    """C-ECHO and return the seconds it took, association included.

    Raises:
        DeliveryError: no association, or another answer than success.
    """
    started = time.monotonic()
    with associate(peer, [build_context(Verification)]) as link:
        status = link.echo()
    if status != SUCCESS:
        raise DeliveryError(
            f"{peer} answers a C-ECHO with status 0x{status:04X}: see its log",
            retryable=True,
            status=status,
        )
    return time.monotonic() - started


def send_files(
    paths: Sequence[Path],
    peer: Peer,
    *,
    on_progress: Callable[[SendProgress], None] | None = None,
) -> SendSummary:
    """C-STORE files, and all files of folders, in the bytes they have.

    One association serves all, unless they need more presentation contexts than one
    can hold. Nothing is tried twice: a file's outcome says what happened to it.

    Raises:
        UsageError: a path does not exist, or there is no file at all.
        DeliveryError: no association with the peer.
    """
    started = time.monotonic()
    files = list(_walk(paths))
    if not files:
        raise UsageError("there is no file in what was named: name files or folders")
    found = [_examine(file) for file in files]
    outcomes: dict[int, SentFile] = {}

    def settle(index: int, outcome: SentFile) -> None:
        outcomes[index] = outcome
        if on_progress is not None:
            on_progress(
                SendProgress(done=len(outcomes), total=len(files), last=outcome)
            )

    for index, file in enumerate(found):
        if file.problem:
            settle(index, file)
    for batch in _batches(found):
        _send_batch([(i, found[i]) for i in batch], peer, settle)
    return SendSummary(
        files=tuple(outcomes[index] for index in range(len(files))),
        seconds=time.monotonic() - started,
    )


def _walk(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(n for n in folders if not n.startswith("."))
                yield from (
                    Path(folder) / name
                    for name in sorted(names)
                    if not name.startswith(".")
                )
        elif path.exists():
            yield path
        else:
            raise UsageError(f"there is no file or folder {path}")


def _examine(path: Path) -> SentFile:
    """Read what a presentation context needs from the file meta information."""
    try:
        with warnings.catch_warnings():  # their text may hold values
            warnings.simplefilter("ignore")
            meta, offset = split_dataset(path)
            sop_class = str(meta.get("MediaStorageSOPClassUID", ""))
            instance = str(meta.get("MediaStorageSOPInstanceUID", ""))
            syntax = str(meta.get("TransferSyntaxUID", ""))
    except InvalidDicomError:
        return SentFile(path=path, problem="not a DICOM file (PS3.10)")
    except OSError as error:
        text = f"cannot be read ({type(error).__name__}): check its permissions"
        return SentFile(path=path, problem=text)
    except Exception as error:  # noqa: BLE001 - anything can be in a file
        text = f"its file meta information is broken ({type(error).__name__})"
        return SentFile(path=path, problem=text)
    if sop_class == MediaStorageDirectoryStorage:
        return SentFile(path=path, problem="a DICOMDIR, which is not sent")
    usable = all(UID(uid).is_valid for uid in (sop_class, instance, syntax))
    if not usable:
        text = "its file meta information lacks a valid UID (0002,0002/0003/0010)"
        return SentFile(path=path, problem=text)
    if offset >= path.stat().st_size:
        return SentFile(path=path, problem="it holds no data set")
    return SentFile(path=path, sop_class_uid=sop_class, transfer_syntax_uid=syntax)


def _batches(files: Sequence[SentFile]) -> list[list[int]]:
    """Put the files into as few associations as their contexts allow."""
    batches: list[list[int]] = []
    contexts: set[tuple[str, str]] = set()
    for index, file in enumerate(files):
        if file.problem:
            continue
        context = (file.sop_class_uid, file.transfer_syntax_uid)
        if not batches or len(contexts | {context}) > MAX_CONTEXTS:
            batches.append([])
            contexts = set()
        contexts.add(context)
        batches[-1].append(index)
    return batches


def _send_batch(
    batch: Sequence[tuple[int, SentFile]],
    peer: Peer,
    settle: Callable[[int, SentFile], None],
) -> None:
    pairs = dict.fromkeys((f.sop_class_uid, f.transfer_syntax_uid) for _, f in batch)
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in pairs]
    try:
        with associate(peer, contexts) as link:
            for index, file in batch:
                settle(index, _send_one(file, peer, link))
    except NothingAccepted:
        for index, file in batch:
            settle(index, _not_accepted(file, peer))


def _not_accepted(file: SentFile, peer: Peer) -> SentFile:
    what = f"{UID(file.sop_class_uid).name} in {UID(file.transfer_syntax_uid).name}"
    return replace(file, problem=f"{peer} does not accept {what}")


def _send_one(file: SentFile, peer: Peer, link: Link) -> SentFile:
    if (file.sop_class_uid, file.transfer_syntax_uid) not in link.accepted:
        return _not_accepted(file, peer)
    if not link.alive:
        text = f"not sent: {peer} ended the association before this file"
        return replace(file, problem=text)
    started = time.monotonic()
    try:
        with _of_even_length(file) as path:
            status = link.store(path, size_bytes=path.stat().st_size)
    except (DeliveryError, OSError) as error:
        text = str(error) if isinstance(error, DeliveryError) else "cannot be read"
        return replace(file, problem=text, seconds=time.monotonic() - started)
    meaning = read_status(status)
    return replace(
        file,
        status=status,
        problem="" if status == SUCCESS else f"{peer} {meaning.text}",
        seconds=time.monotonic() - started,
    )


@contextmanager
def _of_even_length(file: SentFile) -> Iterator[Path]:
    """Give a path to the file, of a copy with a pad byte if it needs one.

    A deflated stream of odd length may lie in a file, but no fragment of odd length
    may be sent. Source: PS3.5 A.5, PS3.8 E.1.
    """
    size = file.path.stat().st_size
    if file.transfer_syntax_uid != DeflatedExplicitVRLittleEndian or size % 2 == 0:
        yield file.path
        return
    with tempfile.NamedTemporaryFile(suffix=".dcm") as padded:
        padded.write(file.path.read_bytes() + b"\0")
        padded.flush()
        yield Path(padded.name)
