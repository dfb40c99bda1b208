"""What the header says of the pixels, checked before a byte of them is read."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.pixels.attributes import integer, text

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_BITS_ALLOCATED = (1, 8, 16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLimits:
    """What an image may claim before it is refused.

    Args:
        frame_bytes: of one decoded frame, at least four bytes a sample.
        image_bytes: of all decoded frames together.
        frames: Number of Frames.
        inflated_bytes: of a deflated data set.
        seconds: for reading and decoding all chosen frames of the image.
        frame_seconds: for one frame; what takes longer is ended with its process.
    """

    frame_bytes: int = 512 << 20
    image_bytes: int = 16 << 30
    frames: int = 1_000_000
    inflated_bytes: int = 512 << 20
    seconds: float = 120.0
    frame_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLayout:
    """Image Pixel Module of one image (PS3.3 C.7.6.3).

    Args:
        element: keyword of the pixel element: PixelData, FloatPixelData or
            DoubleFloatPixelData.
        is_signed: Pixel Representation is 1.
        by_plane: Planar Configuration is 1.
    """

    element: str
    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    by_plane: bool
    frames: int

    @property
    def is_float(self) -> bool:
        """Whether values are floats that need no sign, mask or shift."""
        return self.element != "PixelData"

    @property
    def is_monochrome(self) -> bool:
        """Whether modality and VOI transformations apply."""
        return self.photometric in MONOCHROME

    @property
    def frame_bits(self) -> int:
        """Size of one frame in native encoding, in bits."""
        pixels = self.rows * self.columns
        if self.photometric == "YBR_FULL_422":  # two Y for one Cb and one Cr
            return pixels * 2 * self.bits_allocated
        return pixels * self.samples * self.bits_allocated

    @property
    def stored_range(self) -> tuple[int, int]:
        """Lowest and highest value that Bits Stored can hold."""
        if self.is_signed:
            return -(1 << (self.bits_stored - 1)), (1 << (self.bits_stored - 1)) - 1
        return 0, (1 << self.bits_stored) - 1


def read_layout(dataset: Dataset, element: str, limits: PixelLimits) -> PixelLayout:
    """Read and check the Image Pixel attributes.

    Raises:
        PixelError: an attribute is missing, out of its range or implausible.

    Source: PS3.3 C.7.6.3 and, for floats, C.7.6.24 and C.7.6.25.
    """
    photometric = text(dataset, "PhotometricInterpretation")
    samples = _required(dataset, "SamplesPerPixel", low=1, high=4)
    _check_photometric(photometric, samples)
    allocated = _bits_allocated(dataset, element)
    stored, high = allocated, allocated - 1
    if element == "PixelData":
        stored = _bounded(dataset, "BitsStored", default=allocated, high=allocated)
        high = _bounded(dataset, "HighBit", default=stored - 1, high=allocated - 1)
        if high + 1 < stored:
            raise PixelError("HighBit is below BitsStored - 1")
    layout = PixelLayout(
        element=element,
        rows=_required(dataset, "Rows", low=1, high=0xFFFF),
        columns=_required(dataset, "Columns", low=1, high=0xFFFF),
        samples=samples,
        photometric=photometric,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        is_signed=_flag(dataset, "PixelRepresentation"),
        by_plane=samples > 1 and _flag(dataset, "PlanarConfiguration"),
        # Zero is written for "not a multi-frame image" by some devices.
        frames=max(integer(dataset, "NumberOfFrames") or 1, 1),
    )
    if layout.is_signed and photometric in COLOUR:
        raise PixelError("PixelRepresentation is 1: samples of a colour have no sign")
    _check_claim(layout, limits)
    return layout


def _check_photometric(photometric: str, samples: int) -> None:
    if photometric == "":
        raise PixelError("PhotometricInterpretation is missing")
    if photometric not in (*MONOCHROME, PALETTE, *COLOUR):
        raise PixelError("PhotometricInterpretation is not supported")
    if samples != (3 if photometric in COLOUR else 1):
        raise PixelError("SamplesPerPixel does not fit PhotometricInterpretation")


def _bits_allocated(dataset: Dataset, element: str) -> int:
    if element == "FloatPixelData":
        return 32
    if element == "DoubleFloatPixelData":
        return 64
    allocated = _required(dataset, "BitsAllocated", low=1, high=64)
    if allocated not in _BITS_ALLOCATED:
        raise PixelError("BitsAllocated is not 1, 8, 16 or 32")
    return allocated


def _check_claim(layout: PixelLayout, limits: PixelLimits) -> None:
    """Refuse an image whose decoded size is beyond the limits."""
    if layout.frames > limits.frames:
        raise PixelError(f"NumberOfFrames is above the limit of {limits.frames}")
    sample_bytes = max(layout.bits_allocated // 8, 4)
    frame_bytes = layout.rows * layout.columns * layout.samples * sample_bytes
    if frame_bytes > limits.frame_bytes:
        raise PixelError(
            f"Rows x Columns is above the limit of {limits.frame_bytes} bytes a frame"
        )
    total = layout.rows * layout.columns * layout.samples * layout.frames
    if total * layout.bits_allocated // 8 > limits.image_bytes:
        raise PixelError(
            "Rows x Columns x NumberOfFrames is above the limit of "
            f"{limits.image_bytes} bytes"
        )


def _required(dataset: Dataset, keyword: str, *, low: int, high: int) -> int:
    value = integer(dataset, keyword)
    if value is None:
        raise PixelError(f"{keyword} is missing")
    if not low <= value <= high:
        raise PixelError(f"{keyword} is not between {low} and {high}")
    return value


def _bounded(dataset: Dataset, keyword: str, *, default: int, high: int) -> int:
    value = integer(dataset, keyword)
    if value is None:
        return default
    low = 0 if keyword == "HighBit" else 1
    if not low <= value <= high:
        raise PixelError(f"{keyword} does not fit BitsAllocated")
    return value


def _flag(dataset: Dataset, keyword: str) -> bool:
    value = integer(dataset, keyword)
    if value not in (None, 0, 1):
        raise PixelError(f"{keyword} is neither 0 nor 1")
    return value == 1
