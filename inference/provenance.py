"""The digests of everything that a prediction depends on."""

import hashlib
import inspect
import json
import platform
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final

import torch

from dicom_node.core.provenance import InputDigest, Machinery, Provenance
from dicom_node.core.types import InputFile
from inference.api import Model, ModelCard
from inference.card import CARD_NAME

_DISTRIBUTION: Final = "dicom-node"
# What decodes, resizes and computes: another version may round otherwise.
_LIBRARIES: Final = ("timm", "numpy", "pydicom", "imagecodecs")
_ENGINE_LIBRARIES: Final = {"openvino": ("openvino",)}
# What a card says of a model without any effect on its scores.
_DESCRIPTIVE: Final = frozenset(
    {
        "name",
        "version",
        "manufacturer",
        "folder",
        "weights_sha256",
        "batch_size",
        "intended_use",
        "research_only",
        "licence",
        "training_data",
        "description",
        "performance",
        "performance_data",
    }
)
# The longest text that a JSON column keeps whole is longer than this.
_LONGEST_SETTING: Final = 1024
_SOURCES: Final = Path(__file__).parent
_NOT_RUN: Final = "training"


def trace(
    model: Model, files: Sequence[InputFile], *, machinery: Machinery
) -> Provenance:
    """Say what a prediction of these files by this model is made with.

    Args:
        files: every file handed to inference, evaluated or not.
    """
    card = model.card
    settings = canonical_settings(card)
    return Provenance(
        weights_sha256=card.weights_sha256,
        card_sha256=card_digest(card.folder),
        code_version=_code_version(),
        code_sha256=code_digest(getattr(model, "made_of", type(model))),
        preprocessing_sha256=settings_digest(settings),
        settings=settings,
        inputs=tuple(
            InputDigest(
                sop_instance_uid=file.sop_instance_uid,
                dataset_digest=file.dataset_digest,
            )
            for file in files
        ),
        machinery=machinery,
    )


def describe_machinery(
    *, engine: str, precision: str, device: str, threads: int = 0
) -> Machinery:
    """Say what runs a model now.

    Args:
        device: as torch names it, e.g. "cpu" or "cuda:0".
        threads: of the thread that runs it; 0 asks torch for those of this one.
    """
    named = (*_LIBRARIES, *_ENGINE_LIBRARIES.get(engine, ()))
    versions = [(name, _version(name)) for name in named]
    return Machinery(
        engine=engine,
        precision=precision,
        device=device,
        device_name=_device_name(device),
        threads=threads or torch.get_num_threads(),
        libraries=(("torch", str(torch.__version__)), *versions),
    )


def canonical_settings(card: ModelCard) -> tuple[tuple[str, str], ...]:
    """Give all that turns an image into a finding, by name, as JSON.

    Equal settings give equal text whatever wrote them, so that a digest of it can be
    compared over versions; what only describes the model is left out.
    """
    found = {
        name: text
        for item in fields(card)
        if item.name not in _DESCRIPTIVE
        for name, text in _flatten(item.name, getattr(card, item.name))
    }
    return tuple(sorted(found.items()))


def settings_digest(settings: Sequence[tuple[str, str]]) -> str:
    """Return the SHA-256 of settings, 64 hex digits."""
    return hashlib.sha256(_canonical(sorted(settings)).encode()).hexdigest()


def card_digest(folder: Path) -> str:
    """Return the SHA-256 of card.toml and of the labels it names, "" without a card."""
    try:
        content = (folder / CARD_NAME).read_bytes()
    except OSError:
        return ""
    digest = hashlib.sha256()
    _add(digest, CARD_NAME, content)
    with suppress(tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
        labels = tomllib.loads(content.decode()).get("labels")
        name = labels.get("file") if isinstance(labels, dict) else None
        if isinstance(name, str):
            _add(digest, name, (folder / name).read_bytes())
    return digest.hexdigest()


def _flatten(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Name each setting; a text too long to keep stands there as its digest."""
    if is_dataclass(value):
        for item in fields(value):
            yield from _flatten(f"{name}.{item.name}", getattr(value, item.name))
        return
    text = _canonical(_plain(value))
    if len(text) > _LONGEST_SETTING:
        text = _canonical({"sha256": hashlib.sha256(text.encode()).hexdigest()})
    yield name, text


def _plain(value: object) -> object:
    """Turn what a card holds into what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_canonical(_plain(item)) for item in value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _add(digest: "hashlib._Hash", name: str, content: bytes) -> None:
    """Add a file so that no other split of names and contents gives the same."""
    digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "replace"))
    digest.update(content)


@lru_cache(maxsize=1)
def _own_sources() -> "hashlib._Hash":
    """Digest the sources between a file and a finding; they are read once."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        name = path.relative_to(_SOURCES).as_posix()
        if not name.startswith(f"{_NOT_RUN}/"):
            _add(digest, name, path.read_bytes())
    return digest


@lru_cache
def code_digest(kind: type) -> str:
    """Digest our sources, and those of a model class that is somebody else's."""
    digest = _own_sources().copy()
    if not f"{kind.__module__}.".startswith("inference."):
        with suppress(OSError, TypeError):
            source = inspect.getsourcefile(kind)
            if source is not None:
                _add(digest, kind.__module__, Path(source).read_bytes())
    return digest.hexdigest()


@lru_cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _code_version() -> str:
    return _version(_DISTRIBUTION)


@lru_cache
def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    # The same processor rounds otherwise where it runs other instructions.
    return f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()
