"""A tile where a picture would be: it says why there is none."""

import textwrap
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from dicom_node.web.problems import Problem
from dicom_node.web.surroundings import words_for

_SIDE: Final = 320
_LINE: Final = 38  # signs of half a square
_LINES_MAX: Final = 9


def wants_tile(request: Request) -> bool:
    """Say whether an <img> asks, which shows a picture or nothing."""
    asked = request.headers.get("sec-fetch-dest", "")
    accepts = request.headers.get("accept", "")
    return asked == "image" or (not asked and accepts.startswith("image/"))


def tile(request: Request, problem: Problem) -> Response:
    """Return a picture of the problem.

    With 200, since it is the picture that the page has: another status would be a
    fault in the browser's console beside the words that everybody can read.
    """
    t = words_for(request)
    lines = _wrapped(t.say(str(problem)))
    rows = "".join(
        f'<text x="16" y="{64 + 24 * number}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SIDE}" height="{_SIDE}" '
        f'viewBox="0 0 {_SIDE} {_SIDE}"><rect width="{_SIDE}" height="{_SIDE}" '
        'fill="#1b1f24"/><path d="M16 16h24v24H16z" fill="none" stroke="#ffb4a8" '
        'stroke-width="3"/><path d="M22 22l12 12m0-12L22 34" stroke="#ffb4a8" '
        f'stroke-width="3"/><g fill="#e6e9ec" font-family="sans-serif" '
        f'font-size="16">{rows}</g></svg>'
    )
    return Response(drawn, media_type="image/svg+xml", headers={"X-Fault": "1"})


def _wrapped(text: str) -> list[str]:
    """Break a text into lines; Hangul takes twice the width of Latin."""
    wide = any(ord(sign) > 0x1100 for sign in text)
    return textwrap.wrap(text, _LINE // 2 if wide else _LINE)[:_LINES_MAX]
