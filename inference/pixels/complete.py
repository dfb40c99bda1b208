"""Find JPEG frames whose data end before the image does.

libjpeg fills what is missing with the last value and only warns. Bytes put in before
the end-of-image marker are skipped by a decoder that is done with the image, and become
pixels for one that is not.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_END_OF_IMAGE = b"\xff\xd9"
_BLOCK = 8  # rows and columns of a block, ITU-T T.81 A.3
# Any bytes that hold no marker and look like no image.
_PROBE = np.random.default_rng(8).integers(0, 255, 512, np.uint8).tobytes()


def with_probe(frame: bytes) -> bytes:
    """Put bytes in before the end of the image.

    Fill bytes before the marker go: they would make a marker of the first byte.

    Source: ITU-T T.81 B.1.1.2.
    """
    end = frame.rfind(_END_OF_IMAGE)
    return frame[:end].rstrip(b"\xff") + _PROBE + frame[end:]


def ends_flat(values: npt.NDArray[Any], *, is_lossless: bool) -> bool:
    """Say whether the frame ends the way a missing part would be filled.

    A missing part of less than a hundredth of the rows may go unnoticed.

    Args:
        values: (rows, columns) or (rows, columns, 3), as decoded.
        is_lossless: predicted from neighbours instead of coded in blocks.
    """
    count = max(values.shape[0] // 100, 1)
    tail = values[-max(count + 1, _BLOCK) :]
    planes = tail.reshape(*tail.shape[:2], -1).astype(np.int32)
    if is_lossless:
        planes = planes[-count - 1 :]
        return all(_is_predicted(planes[..., i]) for i in range(planes.shape[2]))
    rows = (values.shape[0] - 1) % _BLOCK + 1
    corner = planes[-rows:, -max(values.shape[1] // 4, 1) :]
    return bool((corner == corner[-1:, -1:]).all())


def _is_predicted(rows: npt.NDArray[np.int32]) -> bool:
    """Say whether one predictor yields all but the first row and column.

    Source: ITU-T T.81 H.1.2.1.
    """
    here, left = rows[1:, 1:], rows[1:, :-1]
    above, corner = rows[:-1, 1:], rows[:-1, :-1]
    predictions = (
        left,
        above,
        corner,
        left + above - corner,
        left + ((above - corner) >> 1),
        above + ((left - corner) >> 1),
        (left + above) >> 1,
    )
    return any((here == prediction).all() for prediction in predictions)
