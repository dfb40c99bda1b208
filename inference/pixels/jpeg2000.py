"""Headers of JPEG 2000 and HTJ2K, checked before a decoder sees them.

OpenJPH divides by a tile size of 0, and both decoders take memory for every tile that
the header claims.
"""

import struct
from dataclasses import dataclass

from dicom_node.core.errors import PixelError

_SIZ, _COD, _COC, _SOT, _SOD = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93
_HTJ2K_CAPABILITY = 0x4000  # in Rsiz: Part 15 is needed, ISO/IEC 15444-15 A.3
_MOST_TILES = 4096
_MOST_LEVELS = 32
_MOST_LAYERS = 256  # each packet costs time even where it is empty
_MOST_PRECINCTS = 1 << 16  # of one component in all resolutions
_BEHIND_SOC, _SOT_BYTES = 2, 12
_BROKEN = "Pixel Data holds a JPEG 2000 with a broken header"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jpeg2000Header:
    """What SIZ and COD say of the whole image.

    Args:
        is_high_throughput: HTJ2K block coding.
        is_reversible: the wavelet loses nothing.
        levels: of decomposition; the smallest image is 2^levels times smaller.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool
    is_high_throughput: bool
    is_reversible: bool
    levels: int


def read_jpeg_2000(frame: bytes | memoryview) -> Jpeg2000Header:
    """Read and check the main header of a codestream.

    Raises:
        PixelError: a size, offset or count in it is impossible or above a limit.
        struct.error, IndexError: it is broken off.

    Source: ISO/IEC 15444-1 A.5.1 (SIZ), A.6.1 (COD).
    """
    marker, capability = struct.unpack_from(">HxxH", frame, 2)
    if marker != _SIZ:
        raise PixelError(_BROKEN)
    (samples,) = struct.unpack_from(">H", frame, 40)
    if not samples:
        raise PixelError(_BROKEN)
    components = [struct.unpack_from(">BBB", frame, 42 + 3 * i) for i in range(samples)]
    if len(set(components)) != 1:
        raise PixelError("Pixel Data holds a JPEG 2000 with unlike components")
    depth, dx, dy = components[0]
    columns, rows = _extent(frame, dx, dy)
    levels, is_reversible = _coding_style(frame)
    _check_tile_parts(frame, _Styles(samples=samples, size=(columns, rows)))
    return Jpeg2000Header(
        rows=rows,
        columns=columns,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        is_signed=bool(depth & 0x80),
        is_high_throughput=bool(capability & _HTJ2K_CAPABILITY),
        is_reversible=is_reversible,
        levels=levels,
    )


def _extent(frame: bytes | memoryview, dx: int, dy: int) -> tuple[int, int]:
    """Return columns and rows, once grid and tiles are known to be possible."""
    ends = struct.unpack_from(">2I", frame, 8)
    starts = struct.unpack_from(">2I", frame, 16)
    tiles = struct.unpack_from(">2I", frame, 24)
    tile_starts = struct.unpack_from(">2I", frame, 32)
    sizes, count = [], 1
    for end, start, tile, origin, step in zip(
        ends, starts, tiles, tile_starts, (dx, dy), strict=True
    ):
        # The first tile must hold the first pixel.
        if not (step and start < end and origin <= start < origin + tile):
            raise PixelError(_BROKEN)
        sizes.append(-(-end // step) - -(-start // step))
        count *= -(-(end - origin) // tile)
    if count > _MOST_TILES:
        raise PixelError(f"Pixel Data holds a JPEG 2000 of over {_MOST_TILES} tiles")
    return sizes[0], sizes[1]


def _coding_style(frame: bytes | memoryview) -> tuple[int, bool]:
    """Return levels of decomposition and whether the wavelet is the reversible one."""
    position = _find(frame, _COD)
    if frame[position : position + 2] == b"\xff\x90":
        raise PixelError("Pixel Data holds a JPEG 2000 without coding style")
    return frame[position + 9], frame[position + 13] == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Styles:
    """Checks the coding styles of an image, its components and its tiles.

    Whichever of them is in force, a decoder takes memory for what it says.

    Args:
        size: columns and rows.
    """

    samples: int
    size: tuple[int, int]

    def check(self, frame: bytes | memoryview, position: int, end: int) -> None:
        """Check the marker segments of one header, from `position` to its SOT or SOD.

        Source: ISO/IEC 15444-1 A.6.1 (COD), A.6.2 (COC).
        """
        while position < end:
            marker, length = struct.unpack_from(">HH", frame, position)
            if marker in (_SOT, _SOD):
                return
            if marker < 0xFF00 or length < 2:
                raise PixelError(_BROKEN)
            segment = frame[position + 4 : position + 2 + length]
            if marker == _COD:
                (layers,) = struct.unpack_from(">H", segment, 2)
                if not 0 < layers <= _MOST_LAYERS:
                    raise PixelError(
                        f"Pixel Data holds a JPEG 2000 of over {_MOST_LAYERS} layers"
                    )
                self._check_style(segment[:1], segment[5:])
            elif marker == _COC:
                index = 1 if self.samples < 257 else 2
                self._check_style(segment[index : index + 1], segment[index + 1 :])
            position += 2 + length

    def _check_style(
        self, style: bytes | memoryview, coding: bytes | memoryview
    ) -> None:
        """Check levels, code-blocks and precincts of COD's or COC's parameters."""
        levels, width, height = struct.unpack_from(">BBB", coding)
        if levels > _MOST_LEVELS or width > 8 or height > 8:
            raise PixelError(_BROKEN)
        if width + height > 8:  # a code-block has at most 4096 coefficients
            raise PixelError(_BROKEN)
        if not style[0] & 1:
            return
        if _count_precincts(coding[5 : 6 + levels], self.size) > _MOST_PRECINCTS:
            raise PixelError("Pixel Data holds a JPEG 2000 of too many precincts")


def _count_precincts(exponents: bytes | memoryview, size: tuple[int, int]) -> int:
    """Count the precincts of all resolutions. Source: ISO/IEC 15444-1 B.6."""
    count = 0
    for resolution, packed in enumerate(exponents):
        halvings = len(exponents) - 1 - resolution
        across, down = (
            (length >> (halvings + exponent)) + 1
            for length, exponent in zip(size, (packed & 15, packed >> 4), strict=True)
        )
        count += across * down
    return count


def _check_tile_parts(frame: bytes | memoryview, styles: _Styles) -> None:
    """Check all headers, and that each tile-part ends where the next one begins.

    OpenJPH makes an image of whatever is left of a tile-part that is broken off.

    Source: ISO/IEC 15444-1 A.4.2 (SOT).
    """
    position = _find(frame, _SOT)
    styles.check(frame, _BEHIND_SOC, position)
    while True:
        marker, _, _, size = struct.unpack_from(">HHHI", frame, position)
        if marker != _SOT:
            raise PixelError("Pixel Data holds a JPEG 2000 that is broken off")
        following = position + max(size, _SOT_BYTES) if size else len(frame)
        styles.check(frame, position + _SOT_BYTES, following)
        position = following
        # A size of zero reaches up to the end of the image.
        if not size or frame[position : position + 2] == b"\xff\xd9":
            return


def _find(frame: bytes | memoryview, wanted: int) -> int:
    """Return where a marker segment of the main header lies, or the first SOT."""
    position = 2
    while True:
        marker, length = struct.unpack_from(">HH", frame, position)
        if marker in (wanted, _SOT):
            return position
        if marker == _SOD or length < 2:
            raise PixelError(_BROKEN)
        position += 2 + length
