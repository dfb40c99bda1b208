"""Inflate a deflated data set under a limit (PS3.5 A.5)."""

import zlib

from dicom_node.core.errors import CannotUnderstand

_RAW_DEFLATE = -zlib.MAX_WBITS
_STEP_BYTES = 1 << 20
# A data set of zeros deflates 1000 to 1, a real one rarely 20 to 1: below the floor
# any ratio is taken, above it only what an image can reach.
MAX_RATIO = 100
RATIO_FLOOR_BYTES = 64 << 20


def inflate(deflated: bytes, *, limit_bytes: int) -> bytes:
    """Return the inflated data set.

    Raises:
        CannotUnderstand: not a whole raw deflate stream, more than `limit_bytes`, or
            more than 100 times the deflated bytes once past 64 MiB.
    """
    limit = min(limit_bytes, max(RATIO_FLOOR_BYTES, MAX_RATIO * len(deflated)))
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    inflated = bytearray()
    pending = deflated
    try:
        while pending and not inflater.eof:
            inflated += inflater.decompress(pending, _STEP_BYTES)
            pending = inflater.unconsumed_tail
            if len(inflated) > limit:
                raise CannotUnderstand("the deflated data set inflates past the limit")
    except zlib.error:
        raise CannotUnderstand("the data set is not deflated as negotiated") from None
    while not inflater.eof:
        block = inflater.decompress(b"", _STEP_BYTES)
        if not block:
            raise CannotUnderstand("the deflated data set is cut off")
        inflated += block
        if len(inflated) > limit:
            raise CannotUnderstand("the deflated data set inflates past the limit")
    return bytes(inflated)
