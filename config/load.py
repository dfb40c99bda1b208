"""Read the settings once: TOML file, then environment; the only reader of both."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from config.faults import Fault, Key, read_settings
from config.settings import Settings
from dicom_node.core.errors import ConfigError

AnyTable = TypeVar("AnyTable", bound=BaseModel)

PREFIX = "DICOM_NODE_"
FILE_VARIABLE = "DICOM_NODE_CONFIG"
_SCALAR_TABLES = (
    "node", "database", "receive", "tls", "study", "work", "models", "worklist", "web",
    "retention",
)  # fmt: skip
_TLS_FILES = ("ca", "certificate", "private_key")
_WEB_FILES = ("token_file", "certificate", "private_key")
_PROXY_FILES = (
    *_TLS_FILES, "upstream_ca", "upstream_certificate", "upstream_private_key"
)  # fmt: skip
_DESTINATION_FILES = (
    "folder", "token_file", "passcode_file", "secret_file", *_TLS_FILES
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings and where they came from."""

    settings: Settings
    file: Path | None


def load(file: Path | None, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings.

    Args:
        file: what --config named; else DICOM_NODE_CONFIG, else node.toml in the
            current folder, else the built-in defaults.
        environment: instead of the process's.

    Raises:
        ConfigError: the file or a variable cannot be used; names every fault.
    """
    variables = os.environ if environment is None else environment
    path = _choose(file, variables)
    data = {} if path is None else _read(path)
    base = (path.parent if path else Path.cwd()).resolve()
    unknown, named = _merge(data, variables)
    settings, faults = read_settings(data)
    if settings is None or unknown:
        raise ConfigError(_tell(unknown, faults, named, path))
    return Loaded(settings=_absolute(settings, base), file=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceVariables:
    """What the service manager tells a process that it starts: sd_notify(3).

    Args:
        notify_socket: where it listens; "" without a service manager.
        watchdog_seconds: how long it waits for a sign of life; 0 for ever.
    """

    notify_socket: str = ""
    watchdog_seconds: float = 0.0


def service_variables(
    pid: int, environment: Mapping[str, str] | None = None
) -> ServiceVariables:
    """Read what is meant for the process with this id."""
    variables = os.environ if environment is None else environment
    address = variables.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return ServiceVariables()
    microseconds = variables.get("WATCHDOG_USEC", "")
    mine = variables.get("WATCHDOG_PID", str(pid)) == str(pid)
    seconds = int(microseconds) / 1e6 if mine and microseconds.isdecimal() else 0.0
    return ServiceVariables(notify_socket=address, watchdog_seconds=seconds)


def _choose(file: Path | None, variables: Mapping[str, str]) -> Path | None:
    if file is not None:
        return file
    if named := variables.get(FILE_VARIABLE):
        return Path(named)
    default = Path("node.toml")
    return default if default.exists() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration file {path}: name another with --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}): "
            "it must be a UTF-8 text file that this user may read"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _merge(
    data: dict[str, Any], variables: Mapping[str, str]
) -> tuple[list[str], dict[Key, str]]:
    """Put DICOM_NODE_<TABLE>__<KEY> over the file's scalar keys.

    A table within a table is named as well: DICOM_NODE_WORKLIST__PROXY__PORT.

    Returns:
        What is wrong with the variables' names, and which setting came from which.
    """
    faults, named = [], dict[Key, str]()
    for name, value in sorted(variables.items()):
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        *tables, key = name[len(PREFIX) :].lower().split("__")
        if tables[0] not in _SCALAR_TABLES or not _is_setting(tables, key):
            faults.append(f"environment variable {name} names no setting")
            continue
        section: Any = data
        for table in tables:
            section = section.setdefault(table, {}) if isinstance(section, dict) else 0
        if isinstance(section, dict):
            section[key] = value
            named[*tables, key] = name
    return faults, named


def _is_setting(tables: Sequence[str], key: str) -> bool:
    """Say whether a table has a key that holds a value, not another table."""
    model: type[BaseModel] = Settings
    for table in tables:
        field = model.model_fields.get(table)
        inner = field.annotation if field else None
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            return False
        model = inner
    field = model.model_fields.get(key)
    kind = field.annotation if field else None
    is_table = isinstance(kind, type) and issubclass(kind, BaseModel)
    return field is not None and not is_table


def _tell(
    unknown: list[str], faults: list[Fault], named: Mapping[Key, str], path: Path | None
) -> str:
    """Say in one message what is wrong with the variables and with the file."""
    of_file = [fault.text for fault in faults if fault.key not in named]
    of_variables = [
        f"environment variable {named[fault.key]}: {fault.words}"
        for fault in faults
        if fault.key in named
    ]
    if of_file and path:
        of_file[0] = f"{path}: {of_file[0]}"
    return "; ".join([*unknown, *of_variables, *of_file])


def _absolute(settings: Settings, base: Path) -> Settings:
    """Count relative paths from the configuration file's folder."""
    node = _rebase(settings.node, base, "data_dir")
    url = settings.database.url or f"sqlite:///{node.data_dir / 'node.db'}"
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        url = prefix + str(base / url.removeprefix(prefix))
    return settings.model_copy(
        update={
            "node": node,
            "web": _rebase(settings.web, base, *_WEB_FILES),
            "models": _rebase(settings.models, base, "folder"),
            "tls": _rebase(settings.tls, base, *_TLS_FILES),
            "worklist": settings.worklist.model_copy(
                update={"proxy": _rebase(settings.worklist.proxy, base, *_PROXY_FILES)}
            ),
            "peers": tuple(
                _rebase(item, base, "passcode_file") for item in settings.peers
            ),
            "destinations": tuple(
                _rebase(item, base, *_DESTINATION_FILES)
                for item in settings.destinations
            ),
            "database": settings.database.model_copy(update={"url": url}),
        }
    )


def _rebase(table: AnyTable, base: Path, *names: str) -> AnyTable:
    """Make the named paths of a table absolute, those that are set."""
    paths = {name: getattr(table, name) for name in names}
    return table.model_copy(
        update={name: base / path.expanduser() for name, path in paths.items() if path}
    )


def armed_fault() -> str:
    """Return the fault that a test wants the receiver to have, see `receive.faults`."""
    return os.environ.get("DICOM_NODE_FAULT", "")
