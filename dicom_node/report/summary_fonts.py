"""Lettering of the summary picture, from bundled fonts alone."""

import lzma
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from itertools import groupby
from typing import Final

from PIL import ImageDraw, ImageFont

_FONTS: Final = resources.files("dicom_node.report") / "fonts"
_LATIN: Final = "NotoSans-Regular.ttf"
_BOLD: Final = "NotoSans-Bold.ttf"  # has the same characters
_EAST_ASIAN: Final = "DroidSansFallback.ttf.xz"
# The first that has a character draws it.
_FACES: Final = (_LATIN, "NotoSansMath-Regular.ttf", _EAST_ASIAN)
_NOWHERE: Final = chr(0x10FFFF)  # what a font shows for a character it lacks
_SUBSTITUTE: Final = "□"
_ELLIPSIS: Final = "…"
_PROBED_AT: Final = 24  # pixels: which size tells nothing of whether a glyph is there


@dataclass(frozen=True, slots=True)
class Lettering:
    """Letters of one size and weight.

    Args:
        size: of the em square, in pixels.
    """

    size: int
    bold: bool = False

    @property
    def ascent(self) -> int:
        """How far above the base line a line of text begins, in pixels."""
        return round(self.size * 0.95)

    @property
    def line(self) -> int:
        """From one base line to the next, in pixels."""
        return round(self.size * 1.32)

    def width(self, text: str) -> float:
        """Measure a text in pixels."""
        return sum(self._font(face).getlength(run) for face, run in _runs(text))

    def draw(
        self,
        draw: ImageDraw.ImageDraw,
        place: tuple[float, float],
        text: str,
        ink: str,
    ) -> None:
        """Draw a text; `place` is where its base line begins."""
        x, y = place
        for face, run in _runs(text):
            font = self._font(face)
            # The others have one weight: a thin outline makes them bold.
            stroke = self.size / 60 if self.bold and face != _LATIN else 0
            draw.text((x, y), run, ink, font=font, anchor="ls", stroke_width=stroke)
            x += font.getlength(run)

    def wrap(self, text: str, width: float, *, lines: int) -> list[str]:
        """Break a text into lines of at most a width; what is too much is cut."""
        broken: list[str] = []
        current = ""
        for piece in _pieces(legible(text)):
            for part in self._fitting(piece, width):
                if current and self.width((current + part).rstrip()) > width:
                    broken.append(current.rstrip())
                    current = ""
                current = current + part if current else part.lstrip()
        if current.rstrip():
            broken.append(current.rstrip())
        if len(broken) <= lines:
            return broken
        last = broken[lines - 1]
        while last and self.width(last + _ELLIPSIS) > width:
            last = last[:-1]
        return [*broken[: lines - 1], last.rstrip() + _ELLIPSIS]

    def _fitting(self, piece: str, width: float) -> Iterator[str]:
        """Break a piece that is wider than a line anywhere."""
        while self.width(piece.rstrip()) > width and len(piece) > 1:
            count = 1
            while self.width(piece[: count + 1]) <= width:
                count += 1
            yield piece[:count]
            piece = piece[count:]
        yield piece

    def _font(self, face: str) -> ImageFont.FreeTypeFont:
        return _font(_BOLD if self.bold and face == _LATIN else face, self.size)


def legible(text: str) -> str:
    """Return a text in characters that the fonts have, in their composed form."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(
        one if _face(one) else _SUBSTITUTE
        for one in composed
        # Marks of direction and joiners have no shape of their own.
        if unicodedata.category(one) not in ("Cf", "Cc")
    )


def is_legible(text: str) -> bool:
    """Say whether the fonts have every character of a text."""
    return _SUBSTITUTE not in legible(text)


def _pieces(text: str) -> Iterator[str]:
    """Break where a line may be broken: behind spaces and between Han and Kana."""
    piece = ""
    for one in text:
        piece += one
        if one == " " or 0x3000 <= ord(one) < 0xA000:
            yield piece
            piece = ""
    if piece:
        yield piece


def _runs(text: str) -> Iterator[tuple[str, str]]:
    for face, run in groupby(text, lambda one: _face(one) or _LATIN):
        yield face, "".join(run)


@cache
def _face(character: str) -> str:
    """Return the font that has a character, "" if none does."""
    if character == " ":
        return _LATIN
    return next((face for face in _FACES if _shows(character, face)), "")


def _shows(character: str, name: str) -> bool:
    return _shape(name, character) != _shape(name, _NOWHERE)


def _shape(name: str, character: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(name, _PROBED_AT).getmask(character)
    return mask.size, bytes(mask)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    # Basic layout: the other one takes libraries of the machine, and its pixels vary.
    return ImageFont.truetype(
        BytesIO(_content(name)), size, layout_engine=ImageFont.Layout.BASIC
    )


@cache
def _content(name: str) -> bytes:
    content = (_FONTS / name).read_bytes()
    return lzma.decompress(content) if name.endswith(".xz") else content
