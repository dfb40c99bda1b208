"""The process behind `tests.starter`: `python -m tests.starting DESCRIPTOR ROOM`."""

import contextlib
import gc
import importlib
import json
import os
import selectors
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, Final

_MESSAGE_BYTES: Final = 1 << 20
_MODULES: Final = (
    "alembic.command",
    "dicom_node.commands.proxy",
    "dicom_node.commands.roles",
    "dicom_node.commands.show",
    "dicom_node.commands.web",
    "dicom_node.report.builder",
    "dicom_node.report.writers",
    "inference.run.in_process",
    "inference.vit.network",
    "mako.template",
)


def serve(listener: socket.socket) -> "Asked | None":
    """Fork on demand until the tests, which hold standard input, end; return None then.

    Returns:
        In a forked process, which returns at once, what it is to become.
    """
    lines: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == 0:
                    return None
                if key.fd != listener.fileno():
                    selector.unregister(key.fd)
                    _tell_end(key.fd, *lines.pop(key.fd))
                    continue
                load()
                line, _ = listener.accept()
                content, handles, _, _ = socket.recv_fds(line, _MESSAGE_BYTES, 2)
                pid = os.fork()
                if not pid:
                    return Asked(json.loads(content), *handles)
                for handle in handles:
                    os.close(handle)
                line.send(str(pid).encode())
                watched = os.pidfd_open(pid)
                selector.register(watched, selectors.EVENT_READ)
                lines[watched] = (pid, line)


def load() -> None:
    """Load what nodes load, and nothing that depends on what a node is given."""
    if "torch" in sys.modules:
        return
    for name in _MODULES:
        importlib.import_module(name)
    from inference.vit.timm_import import import_timm

    import_timm()
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page


@dataclass(frozen=True, slots=True)
class Asked:
    """What a fork is to become: words of the starter, descriptors of its streams."""

    words: dict[str, Any]
    output: int
    errors: int

    def run(self) -> int:
        """Be that node; return its exit status."""
        from dicom_node.cli import main
        from dicom_node.forked import show_words

        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(self.output, 1)
        os.dup2(self.errors, 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(self.words["environment"])
        tempfile.tempdir = None
        arguments = self.words["arguments"]
        sys.argv = ["dicom-node", *arguments]
        show_words([sys.executable, "-m", "dicom_node", *arguments])
        return main(arguments)


def _tell_end(watched: int, pid: int, line: socket.socket) -> None:
    os.close(watched)
    _, status = os.waitpid(pid, 0)
    with line, contextlib.suppress(ConnectionError):  # its test may have ended
        line.send(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own:
        found = serve(own)
    if found is not None:
        raise SystemExit(found.run())
