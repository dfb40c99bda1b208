"""A private PostgreSQL server for the tests: own folder, unix socket, no port."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from functools import cache
from pathlib import Path

import psycopg
import pytest

_BIN_FOLDERS = "/usr/lib/postgresql"  # Debian keeps initdb out of PATH
_INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
_SETTINGS = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60")
_STOP_SECONDS = 20


@cache
def server() -> Path | str:
    """Start the server once; return its socket folder, or why there is none."""
    binaries = _find_binaries()
    if binaries is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    account = None
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            return "root needs a user 'postgres' to start PostgreSQL"
    folder = Path(tempfile.mkdtemp(prefix="dicom-node-pg-"))
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    _run(
        [binaries / "initdb", "-D", folder / "data", *_INITDB],
        account,
    )
    process = _spawn(
        [binaries / "postgres", "-D", folder / "data", "-k", folder, *_SETTINGS],
        account,
    )
    atexit.register(_stop, process, folder)
    _wait_until_ready(process, folder)
    return folder


def require() -> Path:
    """Return the socket folder; skip with the reason, or fail in CI."""
    found = server()
    if isinstance(found, Path):
        return found
    if os.environ.get("CI"):
        pytest.fail(found)
    pytest.skip(found)


def new_database() -> str:
    """Create an empty database; return its URL."""
    folder = require()
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(_administer(folder), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql://postgres@/{name}?host={folder}"


def name_of(url: str) -> str:
    """Return the database's name in a URL of `new_database`."""
    return url.partition("@/")[2].partition("?")[0]


def _administer(folder: Path) -> str:
    return f"host={folder} user=postgres dbname=postgres connect_timeout=10"


def _find_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = sorted(
        Path(_BIN_FOLDERS).glob("*/bin/initdb"),
        key=lambda path: float(path.parent.parent.name),
    )
    return found[-1].parent if found else None


def _spawn(
    command: list[str | Path], account: pwd.struct_passwd | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=None if account is None else account.pw_uid,
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else [],
    )


def _run(command: list[str | Path], account: pwd.struct_passwd | None) -> None:
    status = _spawn(command, account).wait(timeout=120)
    if status != 0:
        raise RuntimeError(f"{command[0]} ended with {status}")


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for the socket, then for the server behind it."""
    while process.poll() is None:
        try:
            psycopg.connect(_administer(folder)).close()
        except psycopg.OperationalError:
            continue
        return
    raise RuntimeError(f"postgres ended with {process.returncode}")


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.send_signal(signal.SIGINT)  # "fast shutdown"
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
