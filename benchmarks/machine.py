"""Where and when it was measured: machine, kernel, versions, folders, certificates."""

import os
import platform
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.certificates import make_certificates
from benchmarks.measure import Place
from benchmarks.processes import BenchmarkError
from tests.peers import PROJECT, find_tool

_MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - asked for by its nature
_MEMORY_BYTES: Final = 4 << 30
_PACKAGES: Final = (
    "torch",
    "timm",
    "openvino",
    "pydicom",
    "pillow",
    "imagecodecs",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
)
_VERSION: Final = re.compile(r"v?(\d+\.\d+[\w.+-]*)")


def describe(place: Place) -> dict[str, str]:
    """Say what a reader must know of this machine to understand the figures."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gib()} GiB",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "system": f"{platform.system()} {platform.release()}",
        "process-crash rows on": file_system(place.memory),
        "power-loss rows on": file_system(place.disk),
        "dicom-node": f"{version('dicom-node')}{_commit()}",
        "dcmtk": _tool_version("storescp"),
        "Orthanc": _tool_version("Orthanc"),
        "pynetdicom": version("pynetdicom"),
        "Python": platform.python_version(),
    }


def describe_inference() -> dict[str, str]:
    """Say the same of a machine that runs models, in few words."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "dicom-node": f"{version('dicom-node')}{_commit()}",
        **{name: _package(name) for name in _PACKAGES},
    }


@contextmanager
def places(parent: Path | None, *, tls: bool) -> Iterator[Place]:
    """Make the folders of a run and remove them at its end.

    Args:
        parent: where to measure what syncs; None chooses a folder on a disk.
        tls: whether certificates are needed.

    Raises:
        BenchmarkError: there is no such folder.
    """
    disk = parent or _disk_folder()
    if not disk.is_dir():
        raise BenchmarkError(f"there is no folder {disk}")
    memory = _MEMORY_FOLDER if _has_room(_MEMORY_FOLDER) else disk
    with ExitStack() as stack:
        made = [
            Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="dicom-node-bench-", dir=base)
                )
            )
            for base in (memory, disk)
        ]
        certificates = make_certificates(made[0] / "certificates") if tls else None
        yield Place(memory=made[0], disk=made[1], certificates=certificates)


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on."""
    best, found = "", "unknown"
    resolved = str(folder.resolve())
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, kind, *_ = line.split()
        inside = resolved == mounted or resolved.startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= len(best):
            best, found = mounted, kind
    return found


def command_line(arguments: list[str]) -> str:
    """Return what a reader types to measure again."""
    return " ".join(["python -m benchmarks", *map(shlex.quote, arguments)])


def _disk_folder() -> Path:
    """Choose a temporary folder that is not in memory."""
    for folder in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()):  # noqa: S108 - asked for by its nature
        if folder.is_dir() and file_system(folder) not in {"tmpfs", "ramfs"}:
            return folder
    raise BenchmarkError("no temporary folder is on a disk: name one with --folder")


def _has_room(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize >= _MEMORY_BYTES


def _processor() -> str:
    fields = _colon_table(Path("/proc/cpuinfo"))
    return fields.get("model name") or platform.machine()


def _memory_gib() -> int:
    total = _colon_table(Path("/proc/meminfo")).get("MemTotal", "0 kB")
    return round(int(total.split()[0]) / (1 << 20))


def _colon_table(path: Path) -> Mapping[str, str]:
    """Read the first value of each field of a file of /proc."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _tool_version(name: str) -> str:
    program = find_tool(name)
    if program is None:
        return "not installed"
    said = _output([str(program), "--version"])
    found = _VERSION.search(said)
    return found.group(1) if found else "unknown"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Name the commit where there is one, and say whether files differ from it."""
    said = _output(["git", "-C", str(PROJECT), "describe", "--always", "--dirty"])
    known = re.fullmatch(r"\S*[0-9a-f]{7,}(-dirty)?", said.strip())
    return f" ({said.strip()})" if known else ""


def _output(command: list[str]) -> str:
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout + ended.stderr
