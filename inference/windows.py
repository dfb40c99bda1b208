"""Windows by name, as radiologists call them."""

import re
from typing import Final

from dicom_node.core.errors import BundleError
from inference.api import Window

# Usual windows in HU, center and width, as radiologists set them.
WINDOW_PRESETS: Final = {
    "ct-abdomen": Window(center=60.0, width=400.0),
    "ct-bone": Window(center=400.0, width=1800.0),
    "ct-brain": Window(center=40.0, width=80.0),
    "ct-liver": Window(center=60.0, width=160.0),
    "ct-lung": Window(center=-600.0, width=1500.0),
    "ct-mediastinum": Window(center=40.0, width=400.0),
    "ct-soft-tissue": Window(center=50.0, width=400.0),
    "ct-stroke": Window(center=40.0, width=40.0),
    "ct-subdural": Window(center=80.0, width=200.0),
}


def parse_window(text: str) -> Window:
    """Read a preset's name, or CENTER/WIDTH.

    Raises:
        BundleError: it is neither.
    """
    if text in WINDOW_PRESETS:
        return WINDOW_PRESETS[text]
    number = r"[+-]?[0-9]+(?:\.[0-9]+)?"
    found = re.fullmatch(rf"({number})/({number})", text)
    if found is None or float(found[2]) < 1:
        raise BundleError(
            f"a window is CENTER/WIDTH with a width of at least 1, or one of "
            f"{', '.join(WINDOW_PRESETS)}"
        )
    return Window(center=float(found[1]), width=float(found[2]))
