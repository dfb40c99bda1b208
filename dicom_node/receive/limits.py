"""What a data set may be and claim."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """What a data set may be and claim.

    Args:
        max_inflated_bytes: of a deflated one, inflated.
        max_depth: of sequences in sequences.
        max_empty_elements: elements without a value cost a reader far more memory
            than they take in the file, and no real data set is made of them.
        max_element_bytes: of one element that is neither a sequence nor Pixel Data.
        max_scan_seconds: of processor time for the elements: that others keep the
            machine busy is no fault of the sender's.
        max_frame_bytes: decoded size of one frame, by the header.
        max_native_bytes: size of all native pixels, by the header.
        folder: where an inflated data set may lie in a file without a name while it
            is scanned; that for temporary files if there is none.
        min_free_bytes: what must stay free there.
    """

    max_inflated_bytes: int = 2 << 30
    max_depth: int = 32
    max_elements: int = 500_000
    max_empty_elements: int = 50_000
    max_element_bytes: int = 1 << 30
    max_scan_seconds: float = 5.0
    max_frame_bytes: int = 1 << 30
    max_native_bytes: int = 4 << 30
    folder: Path | None = None
    min_free_bytes: int = 0
