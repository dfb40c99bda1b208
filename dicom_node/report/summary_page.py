"""Draws the summary picture: the image and what the model says of its study."""

from dataclasses import dataclass
from typing import Final

from PIL import Image as Picture
from PIL import ImageDraw

from dicom_node.report.summary_blocks import (
    AMBER,
    BACKGROUND,
    BODY,
    INK,
    QUIET,
    STATE_INKS,
    TRACK,
    finding_blocks,
    paint_blocks,
    tail_blocks,
    text_block,
)
from dicom_node.report.summary_fonts import Lettering
from dicom_node.report.summary_image import Shown
from dicom_node.report.summary_words import RESEARCH, UNVERIFIED, Words

WIDTH: Final = 1280
HEIGHT: Final = 960
MARGIN: Final = 28
_GUTTER: Final = 36
_KICKER: Final = Lettering(24)
_HEADLINE: Final = Lettering(52, bold=True)
_BANNER: Final = Lettering(30, bold=True)
_LETTER: Final = Lettering(30, bold=True)
_SIDES: Final = {"R": "RIGHT", "L": "LEFT", "B": "BOTH SIDES"}
_CAPTION: Final = Lettering(20)
_BANNER_HEIGHT: Final = 48
_WIDEST_IMAGE: Final = 760  # beside the findings
_WIDEST_COLUMN: Final = 760
_NARROWEST: Final = 40
_WIDE: Final = 1.9  # a picture wider than this stands above the findings
_SHARE_OF_WIDE: Final = 0.5
_CAPTION_WIDTH: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The image part of the picture.

    Args:
        shown: None where no image can be shown.
        caption: which image it is, or why there is none.
    """

    shown: Shown | None
    caption: str


@dataclass(frozen=True, slots=True)
class _Box:
    left: int
    top: int
    width: int
    height: int


def draw_page(words: Words, panel: Panel) -> Picture.Image:
    """Draw the picture: RGB, HEIGHT rows of WIDTH pixels."""
    page = Picture.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(page)
    top = _paint_head(draw, words)
    bottom = _paint_foot(draw, words)
    caption_height = 2 * _CAPTION.line
    box = _place(panel.shown, top, bottom - caption_height)
    _paint_panel(page, draw, panel, box)
    below = box.top + box.height
    caption_width = max(box.width, _CAPTION_WIDTH)
    caption = text_block(panel.caption, _CAPTION, caption_width, ink=QUIET)
    if panel.shown is None or not _is_wide(panel.shown):
        left = MARGIN + caption_width + _GUTTER
        caption.paint(draw, MARGIN, below + 6)
        _paint_column(draw, words, left, (top, bottom))
        return page
    caption.paint(draw, MARGIN, below + 6)
    _paint_two_columns(draw, words, (below + caption.height + 18, bottom))
    return page


def _paint_head(draw: ImageDraw.ImageDraw, words: Words) -> int:
    width = WIDTH - 2 * MARGIN
    kicker = text_block(f"AI result · {UNVERIFIED}", _KICKER, width, ink=QUIET)
    kicker.paint(draw, MARGIN, 14)
    y = 14 + kicker.height
    ink = STATE_INKS[words.state] if words.state else INK
    headline = text_block(words.headline, _HEADLINE, width, ink=ink)
    headline.paint(draw, MARGIN, y)
    y += headline.height + 6
    if words.research:
        draw.rectangle((0, y, WIDTH - 1, y + _BANNER_HEIGHT - 1), fill=AMBER)
        base = y + (_BANNER_HEIGHT + round(_BANNER.size * 0.72)) // 2
        left = (WIDTH - _BANNER.width(RESEARCH)) / 2
        _BANNER.draw(draw, (left, base), RESEARCH, BACKGROUND)
        y += _BANNER_HEIGHT
    return y + 18


def _paint_foot(draw: ImageDraw.ImageDraw, words: Words) -> int:
    line = text_block(
        " · ".join(words.about), BODY, WIDTH - 2 * MARGIN, ink=QUIET, lines=2
    )
    top = HEIGHT - 12 - line.height
    line.paint(draw, MARGIN, top)
    draw.line((MARGIN, top - 6, WIDTH - MARGIN, top - 6), fill=TRACK, width=2)
    return top - 14


def _is_wide(shown: Shown) -> bool:
    return shown.aspect > _WIDE


def _place(shown: Shown | None, top: int, bottom: int) -> _Box:
    """Say where the image goes: as large as its shape allows."""
    height = bottom - top
    if shown is None:
        return _Box(MARGIN, top, _CAPTION_WIDTH, min(height, 360))
    most = WIDTH - 2 * MARGIN if _is_wide(shown) else _WIDEST_IMAGE
    if _is_wide(shown):
        height = round(height * _SHARE_OF_WIDE)
    width = min(most, round(height * shown.aspect))
    tall = min(height, round(width / shown.aspect))
    # A small one stands in the middle of its place.
    place = most if _is_wide(shown) else max(width, _CAPTION_WIDTH)
    left = MARGIN + (place - width) // 2
    return _Box(left, top, max(width, _NARROWEST), max(tall, _NARROWEST))


def _paint_panel(
    page: Picture.Image, draw: ImageDraw.ImageDraw, panel: Panel, box: _Box
) -> None:
    if panel.shown is None:
        edge = (box.left, box.top, box.left + box.width - 1, box.top + box.height - 1)
        draw.rectangle(edge, outline=TRACK, width=2)
        text = "No image"
        left = box.left + (box.width - _LETTER.width(text)) / 2
        _LETTER.draw(draw, (left, box.top + box.height // 2), text, QUIET)
        return
    picture = panel.shown.picture
    grows = picture.width * picture.height < box.width * box.height
    way = Picture.Resampling.BICUBIC if grows else Picture.Resampling.LANCZOS
    page.paste(picture.resize((box.width, box.height), way), (box.left, box.top))
    _paint_letters(draw, panel.shown, box)


def _paint_letters(draw: ImageDraw.ImageDraw, shown: Shown, box: _Box) -> None:
    """Write the directions at the middle of each edge, and the side in a corner."""
    right, bottom = box.left + box.width, box.top + box.height
    if shown.edges is not None:
        edges = shown.edges
        middle, centre = (box.top + bottom) // 2, (box.left + right) // 2
        _paint_letter(draw, edges.left, (box.left, middle), (0.0, 0.5))
        _paint_letter(draw, edges.right, (right, middle), (1.0, 0.5))
        _paint_letter(draw, edges.top, (centre, box.top), (0.5, 0.0))
        _paint_letter(draw, edges.bottom, (centre, bottom), (0.5, 1.0))
    if shown.side:
        _paint_letter(draw, _SIDES[shown.side], (box.left, box.top), (0.0, 0.0))


def _paint_letter(
    draw: ImageDraw.ImageDraw,
    text: str,
    place: tuple[int, int],
    anchor: tuple[float, float],
) -> None:
    """Write on a dark plate, to be read on any picture.

    Args:
        anchor: which point of the plate stands at the place; (0, 0) is its upper left.
    """
    if not text:
        return
    width, height = round(_LETTER.width(text)) + 14, _LETTER.size + 4
    left = place[0] - round(width * anchor[0])
    top = place[1] - round(height * anchor[1])
    draw.rectangle((left, top, left + width - 1, top + height - 1), BACKGROUND)
    base = top + (height + round(_LETTER.size * 0.72)) // 2
    _LETTER.draw(draw, (left + 7, base), text, INK)


def _paint_column(
    draw: ImageDraw.ImageDraw, words: Words, left: int, span: tuple[int, int]
) -> None:
    """Write findings, and what stands below them, beside the image."""
    top, bottom = span
    width = min(WIDTH - MARGIN - left, _WIDEST_COLUMN)
    tail = tail_blocks(words, width)
    room = bottom - top - sum(block.height for block in tail)
    rows = finding_blocks(words.rows, width, room)
    paint_blocks(draw, [*rows, *tail], (left, top), bottom=bottom)


def _paint_two_columns(
    draw: ImageDraw.ImageDraw, words: Words, span: tuple[int, int]
) -> None:
    """Write findings on the left and the rest on the right, below a wide image."""
    top, bottom = span
    width = (WIDTH - 2 * MARGIN - _GUTTER) // 2
    rows = finding_blocks(words.rows, width, bottom - top)
    paint_blocks(draw, rows, (MARGIN, top), bottom=bottom)
    left = MARGIN + width + _GUTTER
    paint_blocks(draw, tail_blocks(words, width), (left, top), bottom=bottom)
