"""What a load found out about batches, kept for the next one on the same machine."""

import hashlib
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

from inference.api import ModelCard
from inference.provenance import (
    canonical_settings,
    code_digest,
    describe_machinery,
    settings_digest,
)
from inference.run.engines.batches import SIZES, Batches
from inference.run.engines.engine import EngineSpec
from inference.run.engines.recommended import read_document, write_document

log = logging.getLogger("inference.engines")

_MOST: Final = 256  # models; the oldest go
# What chooses kernels besides processor and libraries.
_VARIABLES: Final = ("ATEN_", "DNNL_", "GOMP_", "KMP_", "MKL_", "OMP_", "ONEDNN_")


def batches_key(card: ModelCard, spec: EngineSpec) -> str:
    """Name all that the bits of a score depend on: weights, code, torch, processor."""
    machinery = describe_machinery(
        engine=spec.engine, precision=spec.precision, device="cpu"
    )
    found = {
        "weights": card.weights_sha256,
        "settings": settings_digest(canonical_settings(card)),
        "batch_size": card.batch_size,
        "code": code_digest(Batches),
        "machinery": asdict(machinery),
        "environment": sorted(
            pair for pair in os.environ.items() if pair[0].startswith(_VARIABLES)
        ),
    }
    text = json.dumps(found, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_batches(file: Path, key: str) -> Batches | None:
    """Return what was kept, None where nothing is."""
    match read_document(file).get(key):
        case {"sizes": list(sizes), "apart": list(apart)} if (
            all(size in (1, *SIZES) for size in sizes)
            and (not sizes or sizes[-1] == 1)
            and all(isinstance(name, str) for name in apart)
        ):
            return Batches(tuple(sizes), tuple(apart))
        case _:
            return None


def keep_batches(file: Path, key: str, batches: Batches) -> None:
    """Keep what was found; a file that cannot be written costs the next load time."""
    document = read_document(file)
    document.pop(key, None)
    document[key] = asdict(batches)
    for oldest in list(document)[:-_MOST]:
        del document[oldest]
    try:
        write_document(file, document)
    except OSError as error:
        log.warning("batches not kept", extra={"error": type(error).__name__})
