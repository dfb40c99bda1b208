"""What commands share: the settings, and printing for people or for machines."""

import argparse
import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from config.load import Loaded, load
from dicom_node.observe.logs import silence_third_parties

if TYPE_CHECKING:
    from rich.console import Console


def loaded(options: argparse.Namespace) -> Loaded:
    """Read the settings that the options name; libraries fall silent."""
    silence_third_parties()
    return load(options.config)


def console() -> "Console":
    """Return the screen; without a terminal it prints plain lines."""
    from rich.console import Console  # not for those who print nothing, as a receiver

    # Without a terminal a width would only fold UIDs in the middle.
    width = None if sys.stdout.isatty() else 400
    # What a sender wrote is neither markup nor a code for a picture.
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=_text))


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
