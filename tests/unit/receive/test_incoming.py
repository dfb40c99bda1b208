"""A data set on its way: what stays known of one that the disk does not take."""

from collections.abc import Sequence
from typing import cast

import pytest

from dicom_node.core.errors import OutOfResources
from dicom_node.receive.incoming import HEAD_BYTES, Files, Incoming

HEAD = b"DICM"


class _Part:
    """A part file on a disk that is full after some writes."""

    def __init__(self, error: Exception, *, room: int) -> None:
        self.error, self.room = error, room

    def write(self, buffers: Sequence[bytes | memoryview]) -> None:
        if not self.room:
            raise self.error
        self.room -= 1

    def discard(self) -> None:
        pass


class _Disk:
    def __init__(self, part: _Part) -> None:
        self.part = part

    def require_space(self, size_bytes: int = 0) -> None:
        pass

    def begin(self) -> _Part:
        return self.part


def _incoming(error: Exception, *, room: int = 0) -> Incoming:
    disk = _Disk(_Part(error, room=room))
    return Incoming(cast(Files, disk), HEAD, refusal=None)


@pytest.mark.parametrize("error", [OutOfResources("full"), OSError("I/O error")])
def test_what_the_disk_does_not_take_still_has_its_beginning(error: Exception) -> None:
    incoming = _incoming(error)
    for fragment in (b"first", b"second"):
        incoming.add(memoryview(fragment))
    incoming.flush()
    incoming.add(memoryview(b"third"))
    assert incoming.refusal is not None
    assert incoming.head == b"firstsecond"
    assert incoming.size_bytes == 16


def test_what_comes_after_a_full_disk_is_not_taken_for_the_beginning() -> None:
    incoming = _incoming(OutOfResources("full"), room=1)
    for fragment in (b"first", b"second", b"third"):
        incoming.add(memoryview(fragment))
        incoming.flush()
    assert incoming.head == b"firstsecond"


def test_of_what_the_disk_does_not_take_no_more_than_the_beginning_is_kept() -> None:
    incoming = _incoming(OutOfResources("full"))
    incoming.add(memoryview(bytes(HEAD_BYTES - 1)))
    incoming.add(memoryview(b"last of the beginning"))
    incoming.flush()
    assert incoming.head == bytes(HEAD_BYTES - 1) + b"l"
