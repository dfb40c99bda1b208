"""The digests by which a stored file is named and checked.

XXH3-128 finds damage and tells contents apart that differ by chance; it keeps no
forger out. Where equal digests must mean equal bytes, the bytes are compared.
"""

from typing import Final

from xxhash import xxh3_128

DIGEST_BYTES: Final = 16
DIGEST_DIGITS: Final = 2 * DIGEST_BYTES

dataset_digest = xxh3_128
"""Runs over the bytes of a data set as they come; has `update` and `digest`."""


def name_digest(head: bytes, digest: bytes) -> str:
    """Return what the name of a file begins with.

    Args:
        head: everything before the data set, see `file_head`.
        digest: of the data set as sent, 16 bytes, see `dataset_digest`.

    Returns:
        32 hexadecimal digits.
    """
    return xxh3_128(head + digest).hexdigest()


def names(key: str, digest: str) -> bool:
    """Say whether a file with this name digest may lie under this key."""
    return key[:DIGEST_DIGITS] == digest
