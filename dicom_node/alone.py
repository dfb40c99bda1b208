"""Keep a second `serve` away from a folder that one runs on already."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from dicom_node.core.errors import ConfigError


@contextlib.contextmanager
def only_serve(folder: Path, *, on_this_host: bool) -> Iterator[None]:
    """Hold the folder for this process; the kernel lets go of it however it ends.

    Args:
        on_this_host: the `serve` of another host may share the folder.

    Raises:
        ConfigError: another `serve` holds it.
    """
    name = f"serve-{socket.gethostname()}.lock" if on_this_host else "serve.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # a folder that cannot be written the receiver tells better
        yield
        return
    try:
        _take(file)
        yield
    finally:
        os.close(file)


def _take(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
        raise ConfigError(
            f"another `dicom-node serve` (process {holder or 'unknown'}) runs on the "
            "same node.data_dir: stop it, or give this one a folder and a database of "
            "its own"
        ) from None
    except OSError:  # a file system without locks
        return
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)
