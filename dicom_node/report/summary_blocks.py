"""Blocks of the summary picture: text, a finding with its bar, the priority."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from PIL.ImageDraw import ImageDraw

from dicom_node.report.summary_fonts import Lettering
from dicom_node.report.summary_words import Row, State, Words

BACKGROUND: Final = "#0c0f13"
INK: Final = "#f2f4f7"
QUIET: Final = "#a9b4c0"
AMBER: Final = "#ffc24b"
MARK: Final = "#ffffff"
TRACK: Final = "#2b333d"
# Told apart by brightness too, and never without their word.
STATE_INKS: Final = {
    State.PRESENT: "#ff8a3c",
    State.UNDETERMINED: "#8fc1ff",
    State.VALUE: "#f2f4f7",
    State.ABSENT: "#9fb3a6",
}
BODY: Final = Lettering(22)
_TITLE: Final = Lettering(28, bold=True)
_ROW_TITLE: Final = Lettering(23, bold=True)
_PILL: Final = Lettering(20, bold=True)
_SMALL: Final = Lettering(20)
_PRIORITY: Final = Lettering(32, bold=True)

BAR_HEIGHT: Final = 22
_THIN_BAR: Final = 14
_MARK_WIDTH: Final = 4
_MARK_OVERHANG: Final = 6
_PILL_PAD: Final = 10
_GAP: Final = 20


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a column.

    Args:
        height: in pixels, with the space below.
        paint: draws it with its upper left corner at x, y.
    """

    height: int
    paint: Callable[[ImageDraw, int, int], None]


def text_block(
    text: str, lettering: Lettering, width: int, *, ink: str = INK, lines: int = 2
) -> Block:
    """Make a paragraph."""
    broken = lettering.wrap(text, width, lines=lines)

    def paint(draw: ImageDraw, x: int, y: int) -> None:
        for number, line in enumerate(broken):
            base = y + lettering.ascent + number * lettering.line
            lettering.draw(draw, (x, base), line, ink)

    return Block(len(broken) * lettering.line + 4, paint)


def finding_blocks(rows: Sequence[Row], width: int, room: int) -> list[Block]:
    """Lay out as many findings as there is room for, and say how many are left."""
    roomy = [_roomy(row, width) for row in rows]
    if sum(block.height for block in roomy) <= room:
        return roomy
    compact = [_compact(row, width) for row in rows]
    fitting = room
    shown: list[Block] = []
    rest = _SMALL.line + 4
    for number, block in enumerate(compact):
        last = number == len(compact) - 1
        if block.height + (0 if last else rest) > fitting and shown:
            break
        shown.append(block)
        fitting -= block.height
    left = len(rows) - len(shown)
    if left:
        text = f"and {left} more: see the structured report"
        shown.append(text_block(text, _SMALL, width, ink=QUIET))
    return shown


def tail_blocks(words: Words, width: int) -> list[Block]:
    """Lay out what stands below the findings: priority, what was not evaluated."""
    blocks = []
    if words.priority is not None:
        text = f"Suggested priority: {words.priority.value}"
        blocks.append(text_block(text, _PRIORITY, width, lines=2))
        if words.priority_reason:
            blocks.append(
                text_block(words.priority_reason, _SMALL, width, ink=QUIET, lines=2)
            )
        blocks.append(Block(8, _nothing))
    blocks += [text_block(note, BODY, width, lines=4) for note in words.notes[:4]]
    if len(words.notes) > 4:
        text = "More was left out: see the structured report."
        blocks.append(text_block(text, BODY, width))
    return blocks


def paint_blocks(
    draw: ImageDraw, blocks: Sequence[Block], place: tuple[int, int], *, bottom: int
) -> None:
    """Draw blocks below one another, as far as there is room."""
    x, y = place
    for block in blocks:
        if y + block.height > bottom:
            return
        block.paint(draw, x, y)
        y += block.height


def _roomy(row: Row, width: int) -> Block:
    title = text_block(row.title, _TITLE, width)
    pill = _PILL.line + 8
    beside = _pill_width(row) + 14
    fits = beside + BODY.width(row.number) <= width
    right, down = (beside, 2) if fits else (0, pill + 2)
    number = text_block(row.number, BODY, width - right)
    middle = max(pill, down + number.height)
    bar = 0 if row.share is None else BAR_HEIGHT + 2 * _MARK_OVERHANG

    def paint(draw: ImageDraw, x: int, y: int) -> None:
        title.paint(draw, x, y)
        y += title.height
        _paint_pill(draw, row, x, y)
        number.paint(draw, x + right, y + down)
        if row.share is not None:
            box = (x, y + middle + _MARK_OVERHANG, width, BAR_HEIGHT)
            paint_bar(draw, row, box)

    return Block(title.height + middle + bar + _GAP, paint)


def _compact(row: Row, width: int) -> Block:
    pill = _pill_width(row)
    title = text_block(row.title, _ROW_TITLE, width - pill - 14)
    number = text_block(row.number, _SMALL, width, ink=QUIET, lines=1)
    bar = 0 if row.share is None else _THIN_BAR + 8

    def paint(draw: ImageDraw, x: int, y: int) -> None:
        title.paint(draw, x, y)
        _paint_pill(draw, row, x + width - pill, y)
        number.paint(draw, x, y + title.height)
        if row.share is not None:
            top = y + title.height + number.height + 2
            paint_bar(draw, row, (x, top, width, _THIN_BAR))

    return Block(title.height + number.height + bar + 12, paint)


def paint_bar(draw: ImageDraw, row: Row, box: tuple[int, int, int, int]) -> None:
    """Draw a probability as a share of a bar, and its operating point as a mark.

    Args:
        box: left, top, width, height; 0 is at the left edge, 1 at the right.
    """
    x, y, width, height = box
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=TRACK)
    filled = round(width * min(max(row.share or 0.0, 0.0), 1.0))
    if filled:
        ink = STATE_INKS[row.state]
        draw.rectangle((x, y, x + filled - 1, y + height - 1), fill=ink)
    if row.mark is not None:
        at = x + round(width * min(max(row.mark, 0.0), 1.0)) - _MARK_WIDTH // 2
        at = min(max(at, x), x + width - _MARK_WIDTH)
        above = min(_MARK_OVERHANG, height // 3)
        ends = (at, y - above, at + _MARK_WIDTH - 1, y + height - 1 + above)
        # A dark rim keeps it visible on a bright bar.
        draw.rectangle((ends[0] - 1, *ends[1:2], ends[2] + 1, ends[3]), BACKGROUND)
        draw.rectangle(ends, MARK)


def _pill_width(row: Row) -> int:
    return round(_PILL.width(row.state.value)) + 2 * _PILL_PAD


def _paint_pill(draw: ImageDraw, row: Row, x: int, y: int) -> None:
    """Draw the state: filled where it is present, a frame otherwise."""
    ink = STATE_INKS[row.state]
    is_filled = row.state is State.PRESENT
    box = (x, y, x + _pill_width(row) - 1, y + _PILL.line + 1)
    draw.rectangle(box, fill=ink if is_filled else None, outline=ink, width=2)
    place = (x + _PILL_PAD, y + _PILL.ascent + 4)
    _PILL.draw(draw, place, row.state.value, BACKGROUND if is_filled else ink)


def _nothing(draw: ImageDraw, x: int, y: int) -> None:
    """Leave room."""
