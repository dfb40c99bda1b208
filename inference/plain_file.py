"""Files of a bundle by content, whatever a file system may hold under their names."""

import errno
import os
import stat
from pathlib import Path


def read_plain(path: Path, *, at_most: int | None = None) -> bytes:
    """Return the content of a plain file, or its beginning.

    A pipe would wait for a writer, and a device may never end.

    Args:
        at_most: how many bytes; None for all of it.

    Raises:
        OSError: it cannot be read, is no plain file, or too large to be held.
    """
    # Without waiting, or opening a pipe would.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        if at_most is None and found.st_size > _memory_bytes():
            raise OSError(errno.EFBIG, "it is larger than this machine's memory")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read() if at_most is None else file.read(at_most)
    finally:
        os.close(descriptor)


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
