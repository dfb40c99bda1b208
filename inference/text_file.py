"""Text that a person wrote, from a file of any size."""

from pathlib import Path

from dicom_node.core.errors import BundleError
from inference.plain_file import read_plain


def read_text(path: Path, name: str, *, limit_bytes: int) -> str:
    """Return a file's text, without the mark of order that some editors write.

    Raises:
        BundleError: it cannot be read, is larger than the limit, or no UTF-8.
    """
    try:
        content = read_plain(path, at_most=limit_bytes + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"{name} cannot be read: {reason}") from error
    if len(content) > limit_bytes:
        raise BundleError(f"{path.name} is larger than {limit_bytes} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path.name} is not UTF-8 text") from error
