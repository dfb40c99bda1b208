"""The summary picture, measured in its pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageColor, ImageDraw

from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import CodedConcept, Suggestion
from dicom_node.report.summary_blocks import (
    AMBER,
    BACKGROUND,
    MARK,
    STATE_INKS,
    TRACK,
    paint_bar,
)
from dicom_node.report.summary_fonts import Lettering, is_legible, legible
from dicom_node.report.summary_page import HEIGHT, WIDTH
from dicom_node.report.summary_words import Row, State
from tests.unit.report.examples import finding, prediction_for
from tests.unit.report.pictures import (
    Pixels,
    grey,
    pixels_of,
    result_of,
    summary_of,
    write_picture,
)

STAT = Suggestion(urgency=Urgency.STAT, reason="Pneumonia 0.93 (threshold 0.50)")


def is_ink(pixels: Pixels, ink: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Say which pixels have exactly this colour."""
    found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    found = np.all(pixels == ImageColor.getrgb(ink), axis=-1)
    return found


def row(share: float, mark: float | None, state: State) -> Row:
    return Row(title="x", state=state, number="", share=share, mark=mark)


@pytest.mark.parametrize("share", [0.0, 0.004, 0.31, 0.5, 0.93, 1.0])
def test_a_bar_is_filled_by_the_probability(share: float) -> None:
    page = Picture.new("RGB", (440, 40), BACKGROUND)

    bar = row(share, None, State.PRESENT)
    paint_bar(ImageDraw.Draw(page), bar, (20, 10, 400, 20))

    line = np.asarray(page)[20]
    assert is_ink(line, STATE_INKS[State.PRESENT]).sum() == round(400 * share)
    filled_and_rest = is_ink(line, STATE_INKS[State.PRESENT]) | is_ink(line, TRACK)
    assert np.flatnonzero(filled_and_rest).tolist() == list(range(20, 420))


@pytest.mark.parametrize("mark", [0.0, 0.25, 0.5, 0.987, 1.0])
def test_the_mark_stands_at_the_operating_point(mark: float) -> None:
    page = Picture.new("RGB", (440, 40), BACKGROUND)

    paint_bar(ImageDraw.Draw(page), row(0.4, mark, State.ABSENT), (20, 10, 400, 20))

    columns = np.flatnonzero(is_ink(np.asarray(page)[20], MARK))
    assert columns.mean() == pytest.approx(20 + 400 * mark, abs=2.5)
    # It is longer than the bar, to be seen on a full one.
    assert is_ink(np.asarray(page)[8], MARK).any()


@pytest.mark.parametrize(("probability", "present"), [(0.93, True), (0.0312, False)])
def test_the_picture_has_a_bar_in_the_proportion_of_the_probability(
    tmp_path: Path, probability: float, present: bool
) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    outcome = Outcome.PRESENT if present else Outcome.ABSENT
    prediction = replace(
        prediction_for([file]),
        outcome=outcome,
        findings=(finding(present, probability),),
    )

    pixels = pixels_of(summary_of(result_of([file], prediction)))

    ink = STATE_INKS[State.PRESENT if present else State.ABSENT]
    bars = np.flatnonzero(is_ink(pixels, TRACK).sum(axis=1) > 20)
    line = pixels[bars[bars < HEIGHT - 100][5]]
    start = int(np.flatnonzero(is_ink(line, ink))[0])
    end = int(np.flatnonzero(is_ink(line, TRACK))[-1]) + 1
    filled = int(np.flatnonzero(is_ink(line, ink))[-1]) + 1 - start
    assert end - start > 300
    assert filled / (end - start) == pytest.approx(probability, abs=1 / (end - start))
    mark = np.flatnonzero(is_ink(line, MARK))
    assert (mark.mean() - start) / (end - start) == pytest.approx(0.5, abs=0.005)


def test_the_banner_is_there_for_a_model_of_research_and_only_then(
    tmp_path: Path,
) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    research = prediction_for([file])
    product = replace(research, research_only=False)

    def banner_rows(pixels: Pixels) -> int:
        return int((is_ink(pixels, AMBER).sum(axis=1) > WIDTH // 3).sum())

    with_banner = pixels_of(summary_of(result_of([file], research)))
    without = pixels_of(summary_of(result_of([file], product)))
    assert banner_rows(with_banner) >= 40
    assert banner_rows(without) == 0


def test_the_image_is_in_the_picture_as_it_is_windowed(tmp_path: Path) -> None:
    half = np.zeros((64, 64), np.uint8)
    half[:, 32:] = 255
    file = write_picture(tmp_path / "a.dcm", half)

    pixels = pixels_of(summary_of(result_of([file], prediction_for([file]))))

    middle = pixels[HEIGHT // 2]
    white = is_ink(middle, "#ffffff").sum()
    black = is_ink(middle, "#000000").sum()
    assert 250 < white < 380
    assert white == pytest.approx(black, abs=20)


def test_a_colour_image_keeps_its_colours(tmp_path: Path) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    file = write_picture(tmp_path / "a.dcm", red)

    pixels = pixels_of(summary_of(result_of([file], prediction_for([file]))))

    assert is_ink(pixels, "#c80000").sum() > 200_000


@pytest.mark.parametrize(
    "shape", [(64, 64), (400, 40), (40, 400), (3, 900), (900, 3), (1, 1)]
)
def test_every_shape_of_image_leaves_room_for_the_words(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    file = write_picture(tmp_path / "a.dcm", np.full(shape, 100, np.uint8))

    result = result_of([file], prediction_for([file]), suggestion=STAT)
    pixels = pixels_of(summary_of(result))

    ink = STATE_INKS[State.PRESENT]
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    # The bar of 0.93, wherever the image leaves it.
    assert is_ink(pixels, ink).sum(axis=1).max() > 300


def test_fourteen_findings_are_cut_and_counted(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    many = tuple(finding(number < 3, 0.9 - number / 20) for number in range(14))
    few = replace(prediction_for([file]), findings=many[:3])
    all_of_them = replace(few, findings=many)

    def bars(pixels: Pixels) -> int:
        rows = is_ink(pixels[: HEIGHT - 80], TRACK).sum(axis=1) > 20
        return int((np.diff(rows.astype(int)) == 1).sum())

    assert bars(pixels_of(summary_of(result_of([file], few)))) == 3
    shown = bars(pixels_of(summary_of(result_of([file], all_of_them))))
    assert 5 <= shown < 14


@pytest.mark.parametrize(
    "text",
    [
        "Pneumonia, 0.93 ≥ 0.50 · ±µ° – “x”…",
        "Épanchement pleural, Größe, żółć, Iğdır, phổi",
        "Πνευμονία",
        "Пневмоторакс",
        "폐렴 의심",
        "肺炎の疑い、ハイエン",
        "肺栓塞 與 肺癌",
    ],
)
def test_the_fonts_have_the_letters_of_many_languages(text: str) -> None:
    assert is_legible(text)


@pytest.mark.parametrize("encoding", ["euc_kr", "shift_jis", "gb2312", "iso8859_7"])
def test_the_fonts_have_what_the_character_sets_of_dicom_have(encoding: str) -> None:
    lead = range(0xB0, 0xC9) if encoding == "euc_kr" else range(0x88, 0x9F)
    if encoding == "gb2312":
        lead = range(0xB0, 0xF8)
    pairs = [bytes((one, two)) for one in lead for two in range(0xA1, 0xFF)]
    if encoding == "iso8859_7":
        pairs = [bytes((one,)) for one in range(0xC1, 0xFE)]
    letters = {pair.decode(encoding, "ignore") for pair in pairs}
    wanted = sorted(one for one in letters if len(one) == 1 and one.isalpha())
    assert len(wanted) > 50
    assert [one for one in wanted if not is_legible(one)] == []


def test_a_decomposed_text_is_drawn_composed() -> None:
    assert legible("e\u0301 \u1111\u1168") == "é 폐"


def test_a_meaning_that_no_font_has_is_shown_by_its_code(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    arabic = CodedConcept(value="233604007", scheme="SCT", meaning="التهاب رئوي")
    code = CodedConcept(value="1", scheme="X", meaning="233604007 (SCT)")

    def drawn(concept: CodedConcept) -> bytes:
        prediction = replace(
            prediction_for([file]), findings=(finding(True, 0.9, concept=concept),)
        )
        return pixels_of(summary_of(result_of([file], prediction))).tobytes()

    assert not is_legible(arabic.meaning)
    assert drawn(arabic) == drawn(code)


def test_lines_are_no_wider_than_they_may_be_and_lose_nothing_unsaid() -> None:
    letters = Lettering(22)
    text = "Consolidation of the left lower lobe 오른쪽아래엽 右下葉の浸潤影を疑う所見"

    lines = letters.wrap(text, 200, lines=9)
    cut = letters.wrap(text, 200, lines=2)

    assert all(letters.width(line) <= 200 for line in (*lines, *cut))
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert len(cut) == 2
    assert cut[-1].endswith("…")


def test_a_word_longer_than_a_line_is_broken() -> None:
    letters = Lettering(22)
    lines = letters.wrap("x" * 100, 120, lines=40)
    assert all(letters.width(line) <= 120 for line in lines)
    assert "".join(lines) == "x" * 100
