"""How timm is imported, whatever torchvision was built for."""

import importlib
import os
import sys
from functools import cache
from types import ModuleType

import torch

# Operators that torchvision declares fake kernels for although only its compiled
# extension defines them. Defined here as schemas; no model of timm runs them.
_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_MISSING_OPERATOR = "operator torchvision::nms does not exist"

# torch forgets the operators of a library that is garbage collected.
_kept_libraries: list[torch.library.Library] = []


@cache
def import_timm() -> ModuleType:
    """Import timm and return it.

    The CPU build of torch beside PyPI's torchvision, which is linked with CUDA,
    cannot load torchvision's extension, and `import torchvision` then fails.
    Only in that case are the missing operators declared; a torchvision that
    fits its torch is left as it is.
    """
    # timm imports huggingface_hub, which reads it once: nothing is downloaded.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        importlib.import_module("torchvision")
    except ImportError:
        pass  # timm says itself what it lacks
    except RuntimeError as error:
        if _MISSING_OPERATOR not in str(error):
            raise
        _forget_modules("torchvision")
        _declare_operators()
    return importlib.import_module("timm")


def _declare_operators() -> None:
    library = torch.library.Library(  # type: ignore[no-untyped-call]  # torch leaves it untyped
        "torchvision", "FRAGMENT"
    )
    for schema in _OPERATORS:
        library.define(schema)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    _kept_libraries.append(library)


def _forget_modules(package: str) -> None:
    """Drop a package whose import stopped half-way, so that it can start anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]
