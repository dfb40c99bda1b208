"""What `models bench --keep` found to be the fastest, by machine and weights."""

import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch

from dicom_node.core.errors import ConfigError
from inference.api import ModelCard
from inference.run.engines.engine import EngineSpec


def this_machine() -> str:
    """Name what a measurement holds for: processor, cores and torch."""
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, torch {torch.__version__}"


def recommended(file: Path | None, card: ModelCard) -> EngineSpec | None:
    """Return what was kept for these weights on this machine, None without."""
    kept = read_document(file).get(this_machine(), {}) if file else {}
    found = kept.get(card.weights_sha256) if isinstance(kept, dict) else None
    match found:
        case {"engine": str(engine), "precision": str(precision)}:
            return EngineSpec(engine, precision)
        case _:
            return None


def keep(file: Path, card: ModelCard, spec: EngineSpec) -> None:
    """Keep an engine for these weights on this machine.

    Raises:
        ConfigError: the file cannot be written.
    """
    document = read_document(file)
    kept = document.setdefault(this_machine(), {})
    kept[card.weights_sha256] = {"engine": spec.engine, "precision": spec.precision}
    try:
        write_document(file, document)
    except OSError as error:
        raise ConfigError(
            f"the recommendation cannot be kept ({error.strerror}): node.data_dir "
            "must be a folder that this user may write"
        ) from error


def write_document(file: Path, document: dict[str, dict[str, Any]]) -> None:
    """Write a file of JSON, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, part = tempfile.mkstemp(dir=file.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as opened:
            json.dump(document, opened, indent=1)
        Path(part).replace(file)
    except BaseException:
        Path(part).unlink()
        raise


def read_document(file: Path) -> dict[str, dict[str, Any]]:
    """Read what was kept; a file that is not there or broken holds nothing."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, dict)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.machine()
    for line in lines.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
