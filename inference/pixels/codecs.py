"""Which transfer syntaxes can be decoded here; cheap to import, knows no torch."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
RLE: Final = "1.2.840.10008.1.2.5"

NATIVE: Final = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED)
JPEG: Final = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
JPEG_LS: Final = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))
JPEG_2000: Final = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91))
HTJ2K: Final = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))

# Registered after pydicom's dictionary was made.
UNDECODABLE: Final = {
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}

# Values above Bits Stored are foreign bits only where coding loses nothing.
LOSSY: Final = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 203))

# Family -> (imagecodecs extension, package of a pydicom plugin that can do it too).
# pylibjpeg-libjpeg is GPL and not among them.
_DECODERS: Final[tuple[tuple[tuple[str, ...], str, str | None], ...]] = (
    (JPEG, "_jpeg8", None),
    (JPEG_LS, "_jpegls", "jpeg_ls"),
    (JPEG_2000, "_jpeg2k", "openjpeg"),
    (HTJ2K, "_htj2k", "openjpeg"),
)


@cache
def decodable_transfer_syntaxes() -> tuple[str, ...]:
    """List the transfer syntaxes whose pixels this installation can decode.

    Nothing is imported to find out: a receiver process asks this, too.
    """
    found = list(NATIVE)
    for family, extension, plugin in _DECODERS:
        if has_extension(extension) or (plugin and find_spec(plugin) is not None):
            found.extend(family)
    if has_extension("_imcd"):
        found.append(RLE)
    return tuple(found)


@cache
def has_extension(name: str) -> bool:
    """Say whether imagecodecs was built with this extension module."""
    spec = find_spec("imagecodecs")
    folders = spec.submodule_search_locations if spec else None
    return any(any(Path(folder).glob(f"{name}.*")) for folder in folders or ())
