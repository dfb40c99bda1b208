"""A data set on its way: from the network's buffer to the part file."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from dicom_node.core.errors import CannotUnderstand, DiskFailed, ReceiveError
from dicom_node.part10.digest import dataset_digest, name_digest
from dicom_node.receive.commit import Part
from dicom_node.receive.doubts import PublishedFiles

# What the scan looks at lies here nearly always.
HEAD_BYTES: Final = 64 * 1024
_PIECES: Final = 64


class PartFile(Part, Protocol):
    """A part file that takes bytes and can be read back."""

    def write(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Append the buffers; OutOfResources if the disk does not take them."""

    def mapped(self, start: int) -> AbstractContextManager[memoryview]:
        """Give read access to the file from `start` on."""


class Files(PublishedFiles, Protocol):
    """The folder of received instances."""

    def begin(self) -> PartFile:
        """Open a new part file; OutOfResources if the disk does not take it."""

    def new_key(self, name_digest: str) -> str:
        """Return a new key for a file with this digest."""

    def require_space(self, size_bytes: int = 0) -> None:
        """Raise OutOfResources unless so much may be written."""


class Incoming:
    """Takes the fragments of one data set; what it refuses it reads and forgets.

    Args:
        file_head: what comes before the data set in the file.
    """

    def __init__(
        self, files: Files, file_head: bytes, *, refusal: ReceiveError | None
    ) -> None:
        self._files = files
        self._file_head = file_head
        # The head goes to the file with the first of them.
        self._fragments: list[bytes | memoryview] = [file_head]
        self._digest = dataset_digest()
        self._beginning: list[bytes] = []
        self._missing = HEAD_BYTES
        self._part: PartFile | None = None
        self.refusal = refusal
        self.size_bytes = 0
        if refusal is None:
            self._open()

    def add(self, fragment: memoryview) -> None:
        """Take a fragment, which stays good until `flush`."""
        self.size_bytes += len(fragment)
        if self._part is not None:
            self._fragments.append(fragment)
        elif not self._beginning:
            # Who asks why it was refused asks by study: its UID is in here.
            self._beginning.append(bytes(fragment[:HEAD_BYTES]))

    def flush(self) -> None:
        """Write what was taken."""
        if self._fragments and self._part is not None:
            try:
                self._part.write(self._fragments)
            except ReceiveError as error:
                self._keep_beginning()
                self.refuse(error)
            except OSError as error:
                self._keep_beginning()
                self.refuse(_failed(error))
            else:
                self._take()
            self._fragments.clear()

    def refuse(self, error: ReceiveError) -> None:
        """Forget what came and what will come."""
        if self.refusal is None:
            self.refusal = error
        self.discard()

    def discard(self) -> None:
        """Remove the part file; nothing happens once it was published."""
        self._fragments.clear()
        if self._part is not None:
            self._part.discard()
            self._part = None

    @property
    def part(self) -> PartFile:
        """The part file.

        Raises:
            ReceiveError: the data set was refused.
        """
        if self._part is None:
            raise self.refusal or CannotUnderstand("there is no data set")
        return self._part

    @property
    def head(self) -> bytes:
        """The first bytes of the data set."""
        return b"".join(self._beginning)

    def first_bytes(self) -> bytes:
        """Return what came so far of the first bytes, also of what is not written."""
        first = b"".join(self._beginning)
        for fragment in self._fragments:
            if len(first) >= HEAD_BYTES:
                break
            if fragment is not self._file_head:
                first += fragment[: HEAD_BYTES - len(first)]
        return first

    @property
    def digest(self) -> str:
        """The digest of the data set, hexadecimal."""
        return self._digest.hexdigest()

    def new_key(self) -> str:
        """Return the key to publish the file under."""
        return self._files.new_key(name_digest(self._file_head, self._digest.digest()))

    def mapped(self) -> AbstractContextManager[memoryview]:
        """Give read access to the whole data set, without loading it."""
        return self.part.mapped(len(self._file_head))

    def _open(self) -> None:
        try:
            self._files.require_space()
            self._part = self._files.begin()
        except ReceiveError as error:
            self.refuse(error)
        except OSError as error:
            self.refuse(_failed(error))

    def _take(self) -> None:
        """Note what was written."""
        update = self._digest.update
        for fragment in self._of_data_set():
            update(fragment)
        if self._missing > 0:
            self._keep_beginning()

    def _keep_beginning(self) -> None:
        """Keep the first bytes, also of what the disk did not take."""
        for fragment in self._of_data_set():
            if self._missing <= 0:
                break
            beginning = bytes(fragment[: self._missing])
            self._missing -= len(beginning)
            self._beginning.append(beginning)
        if len(self._beginning) > _PIECES:  # many small ones take more than their bytes
            self._beginning = [self.head]

    def _of_data_set(self) -> list[bytes | memoryview]:
        """Return the fragments without the file's head."""
        if self._fragments and self._fragments[0] is self._file_head:
            del self._fragments[0]
        return self._fragments


def _failed(error: OSError) -> DiskFailed:
    return DiskFailed(f"the disk failed: {type(error).__name__}")
