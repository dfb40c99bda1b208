"""Which device a model runs on."""

import torch

from dicom_node.core.errors import InferenceError


def choose_device(wanted: str) -> str:
    """Turn the setting `models.device` into a device that is there.

    Args:
        wanted: "auto" (cuda if there is one, else cpu), "cpu", "cuda", "cuda:1".

    Raises:
        InferenceError: there is no such device on this machine.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return "cpu"
    kind, _, number = wanted.partition(":")
    index = int(number) if number.isascii() and number.isdigit() else 0
    if kind != "cuda" or wanted not in {"cuda", f"cuda:{index}"}:
        raise InferenceError(
            "models.device is none of 'auto', 'cpu', 'cuda' and 'cuda:<number>'"
        )
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise InferenceError(
            f"there is no device '{wanted}' that this torch can use: set "
            "models.device to 'auto' or install a CUDA build of torch"
        )
    return f"cuda:{index}"


def describe_device(wanted: str, threads: int = 0) -> str:
    """Name the device for people, e.g. "cpu, 2 threads, torch 2.13.0".

    Args:
        threads: of a model on the CPU; 0 leaves it to torch.

    Raises:
        InferenceError: there is no such device on this machine.
    """
    chosen = choose_device(wanted)
    if chosen == "cpu":
        number = threads or torch.get_num_threads()
        share = "1 thread" if number == 1 else f"{number} threads"
        return f"cpu, {share}, torch {torch.__version__}"
    name = torch.cuda.get_device_name(chosen)
    return f"{chosen}, {name}, torch {torch.__version__}"
