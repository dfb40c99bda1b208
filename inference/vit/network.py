"""A card's architecture as timm builds it."""

import difflib
from typing import Any

import torch

from dicom_node.core.errors import BundleError
from inference.api import ModelCard
from inference.vit.timm_import import import_timm

# What the constructors of timm raise for options they cannot serve.
CONSTRUCTOR_ERRORS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    ZeroDivisionError,
)


def default_config(architecture: str) -> dict[str, Any]:
    """Return what timm knows of an architecture: input size, mean, std, first layer.

    Raises:
        BundleError: timm has no such architecture.
    """
    timm = import_timm()
    _bare_name(architecture)
    known = timm.get_pretrained_cfg(architecture, allow_unregistered=True)
    return dict(known.to_dict()) if known is not None else {}


def _bare_name(architecture: str) -> str:
    """Return the name without its tag of weights, if timm knows it."""
    timm = import_timm()
    bare = architecture.split(".")[0]
    if not timm.is_model(bare):
        close = difflib.get_close_matches(bare, timm.list_models(), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise BundleError(f"timm has no architecture named '{architecture}'{hint}")
    return bare


def create_network(card: ModelCard) -> torch.nn.Module:
    """Build the card's architecture with random weights; nothing is downloaded.

    Raises:
        BundleError: timm has no such architecture, or not with these options.
    """
    timm = import_timm()
    name = card.architecture
    bare = _bare_name(name)
    options: dict[str, Any] = {
        **dict(card.arch_options),
        "num_classes": len(card.classes),
        "in_chans": card.input.channels,
    }
    try:
        try:
            network = timm.create_model(
                bare, pretrained=False, img_size=card.input.size, **options
            )
        except TypeError as error:
            if "'img_size'" not in str(error):
                raise
            # A convolutional network: it takes images of any size.
            network = timm.create_model(bare, pretrained=False, **options)
    except CONSTRUCTOR_ERRORS as error:
        raise BundleError(
            f"timm cannot build '{name}' with the card's options: {error}"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise BundleError(f"timm did not build a network for '{name}'")
    return network
