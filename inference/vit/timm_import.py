"""How timm is imported: whatever torchvision was built for, and no more than needed.

Most of what `import timm` takes goes to torchvision's models, to timm's own loaders of
data sets and to torch's compiler. No network needs them, so they are left until
somebody asks for them.
"""

import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

import torch

# Operators that torchvision declares fake kernels for although only its compiled
# extension defines them. Defined here as schemas; no model of timm runs them.
_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_MISSING_OPERATOR = "operator torchvision::nms does not exist"
# What registers kernels with torch, which may be done once.
_REGISTERED = ("torchvision.extension", "torchvision._meta_registrations")

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
    if not {"timm", "torchvision"} & sys.modules.keys():
        try:
            return _import_what_networks_need()
        except (AttributeError, ImportError):  # of another version: all of it, then
            _forget_modules("timm")
            _forget_modules("torchvision")
    _with_operators("torchvision")
    return importlib.import_module("timm")


def _with_operators(module: str) -> None:
    """Import torchvision or a part of it; declare the operators that it lacks."""
    try:
        importlib.import_module(module)
    except ImportError:
        pass  # timm says itself what it lacks
    except RuntimeError as error:
        if _MISSING_OPERATOR not in str(error):
            raise
        _forget_modules(module)
        _declare_operators()


def _declare_operators() -> None:
    library = torch.library.Library(  # type: ignore[no-untyped-call]  # torch leaves it untyped
        "torchvision", "FRAGMENT"
    )
    for schema in _OPERATORS:
        library.define(schema)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    _kept_libraries.append(library)


def _forget_modules(package: str) -> None:
    """Drop a package whose import stopped half-way, so that it can start anew."""
    for name in _named(package):
        del sys.modules[name]


def _named(package: str) -> list[str]:
    return [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]


def _import_what_networks_need() -> ModuleType:
    """Import timm with the parts of torchvision and of timm.data that networks use.

    Raises:
        ImportError, AttributeError: they are not where they are looked for.
    """
    vision = _package("torchvision")
    for part in ("ops", "models"):
        setattr(vision, part, _package(f"torchvision.{part}", vision.__path__))
    _with_operators("torchvision._meta_registrations")
    data = _package("timm.data", _found("timm").submodule_search_locations)
    vars(data).update(_constants(_found("timm.data.constants", data.__path__)))
    with _compiler_on_demand():
        timm = importlib.import_module("timm")
    # Whoever asks for one of these by name gets the whole.
    for name in [*_named("torchvision"), "timm.data"]:
        if name not in _REGISTERED:
            del sys.modules[name]
    vars(timm)["__getattr__"] = _rest_of_timm
    return timm


def _rest_of_timm(name: str) -> ModuleType:
    """Import the package of timm that was left out, when it is asked for."""
    if name != "data":
        raise AttributeError(f"module 'timm' has no attribute '{name}'")
    return importlib.import_module("timm.data")


def _package(name: str, path: Sequence[str] | None = None) -> ModuleType:
    """Make a package whose modules can be imported, without what it imports itself."""
    package = module_from_spec(_found(name, path))
    sys.modules[name] = package
    return package


def _found(name: str, path: Sequence[str] | None = None) -> ModuleSpec:
    spec = PathFinder.find_spec(name, path)
    if spec is None:
        raise ImportError(f"there is no module {name}")
    return spec


def _constants(spec: ModuleSpec) -> dict[str, object]:
    """Return the constants of a module; nothing of it stays imported."""
    module = module_from_spec(spec)
    if spec.loader is None:
        raise ImportError(f"the module {spec.name} has no code")
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if name.isupper()}


@contextmanager
def _compiler_on_demand() -> Iterator[None]:
    """Let torch.compiler.disable import the compiler when what it marked is called."""
    at_once = torch.compiler.disable

    def later(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def marked(*args: Any, **kwargs: Any) -> Any:
            return at_once(function)(*args, **kwargs)  # type: ignore[no-untyped-call]  # torch leaves it untyped

        return marked

    torch.compiler.disable = later  # type: ignore[assignment]  # as timm calls it
    try:
        yield
    finally:
        torch.compiler.disable = at_once
