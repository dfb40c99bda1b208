"""How many worker processes there are and what each of them runs on."""

import gc
import os
import subprocess
import sys
from pathlib import Path

from config.settings import ModelsTable, Settings
from dicom_node.core.errors import ConfigError

_COUNT = "import torch; print(torch.cuda.device_count())"
_COUNT_SECONDS = 120.0
# Threads of a model that wait for one another would spin, and take the cores from those
# that decode. So many turns they do: to sleep between two layers costs a model a sixth
# of its speed.
_CALM = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000000"}


def count_workers(models: ModelsTable) -> int:
    """Say how many processes infer: as set, else one per CUDA device, one on the CPU.

    Devices are counted in a process of its own: `serve` does not load torch.

    Raises:
        ConfigError: torch cannot say how many devices there are.
    """
    if models.workers:
        return models.workers
    driven = any(Path("/dev").glob("nvidia[0-9]*"))
    if models.device not in ("auto", "cuda") or not driven:
        return 1
    try:
        counted = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _COUNT],
            capture_output=True,
            check=True,
            timeout=_COUNT_SECONDS,
        )
        return max(1, int(counted.stdout))
    except (subprocess.SubprocessError, ValueError, OSError) as error:
        raise ConfigError(
            "the CUDA devices cannot be counted: set models.workers"
        ) from error


def bind_worker(settings: Settings, *, worker: int, workers: int) -> Settings:
    """Give one of several workers its device, or its share of the cores.

    Args:
        worker: from 1.
    """
    models = settings.models
    if workers == 1:
        return settings
    changes: dict[str, object] = {}
    if models.device in ("auto", "cuda"):
        changes["device"] = _device(models.device, worker)
    if not models.threads:
        changes["threads"] = max(1, len(os.sched_getaffinity(0)) // workers)
    return settings.model_copy(update={"models": models.model_copy(update=changes)})


def _device(wanted: str, worker: int) -> str:
    """Spread workers over the devices, several on one where there are fewer."""
    import torch

    devices = torch.cuda.device_count()
    if not devices:
        return "cpu" if wanted == "auto" else wanted
    return f"cuda:{(worker - 1) % devices}"


def calm_threads() -> None:
    """Let threads of a model sleep while they wait, unless the environment differs.

    To be called before torch is imported: its OpenMP reads the environment once.
    """
    for name, value in _CALM.items():
        os.environ.setdefault(name, value)


def settle_memory() -> None:
    """Take what was loaded so far, which stays, out of every later collection.

    To be called once a role is ready: with torch and its models a full collection
    takes longer than an image.
    """
    gc.collect()
    gc.freeze()


def name_workers(workers: int) -> tuple[str, ...]:
    """Name the role of each worker: "work", "work-2", "work-3"."""
    return ("work", *(f"work-{number}" for number in range(2, workers + 1)))


def worker_arguments(role: str, workers: int) -> list[str]:
    """Return the arguments that start the worker of this name."""
    name, _, number = role.partition("-")
    if workers == 1:
        return [name]
    return [name, "--worker", number or "1", "--workers", str(workers)]
