"""What the inference benchmark makes of its rounds, and what it measures with."""

from dataclasses import asdict
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest
from pydicom import dcmread

from benchmarks.contest import Contest, Entry, Wish, compete, contest_from
from benchmarks.corpus import CT, MR, Numbers
from benchmarks.inference_page import InferenceFigures, markers, write_section
from benchmarks.inference_run import COMMANDS, choose_cores
from benchmarks.measure import Plan
from benchmarks.pictures import CODINGS, HTJ2K, Coding, make_picture, save_picture
from benchmarks.prepare import TOLERANCE, check_alike
from benchmarks.processes import BenchmarkError
from benchmarks.radiographs import find_radiographs, write_radiograph
from benchmarks.results import Verdict
from benchmarks.window import formula
from inference.api import Window
from tests.peers import PROJECT, require_tool, run_tool


def contest() -> Contest:
    return Contest(
        title="a race",
        entries=[
            Entry(name="ours", rates=[10, 100, 30]),
            Entry(name="theirs", rates=[10, 10, 10]),
            Entry(name="absent", problem="not installed"),
        ],
        wishes=[
            Wish(of="ours", against="theirs", at_least=4),
            Wish(of="ours", against="absent", at_least=1),
        ],
        figures=[Verdict(what="error", wanted=1, measured=0.5, unit="x", at_most=True)],
        remarks=["It was raced."],
    )


def test_a_ratio_of_a_contest_is_the_median_of_the_rounds_ratios() -> None:
    assert contest().ratio("ours", "theirs") == 3


def test_a_wish_is_reached_or_missed_and_what_is_absent_is_never_reached() -> None:
    found = contest().verdicts()
    assert [one.reached for one in found] == [False, False, True]
    assert [one.measured for one in found] == [3, None, 0.5]


def test_a_contest_survives_the_way_between_processes() -> None:
    assert contest_from(asdict(contest())) == contest()


def test_lanes_run_in_turn_and_one_that_fails_is_left_out() -> None:
    order: list[str] = []

    def lane(name: str) -> int:
        order.append(name)
        if name == "b" and len(order) > 3:
            raise BenchmarkError("it broke")
        return 1

    plan = Plan(rounds=2, seconds=1e-9)
    lanes = {name: lambda name=name: lane(name) for name in "ab"}
    found = compete(Contest(title=""), lanes, plan)
    assert order == ["a", "b", "a", "b", "a"]
    assert [one.problem for one in found.entries] == ["", "it broke"]
    assert len(found.entries[0].rates) == 2


def test_a_section_replaces_its_own_figures_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    first, second = markers("prepare"), markers("window")
    page.write_text("\n".join(["# Page", *first, *second, "end", ""]))
    figures = InferenceFigures(
        name="window",
        machine={"processor": "one"},
        command="python -m benchmarks window",
        plan=Plan(rounds=3, seconds=1),
        contests=[contest()],
    )
    write_section(page, figures)
    text = page.read_text()
    assert text.startswith("\n".join(["# Page", *first, second[0]]))
    assert text.endswith(f"{second[1]}\nend\n")
    assert "| ours | 30.00 | 10.00 | 100 |  |" in text
    assert "| absent | not installed |" in text
    assert "≥ 4 x | 3.00 x | ✗" in text
    write_section(page, figures)
    assert page.read_text() == text


def test_the_page_has_a_place_for_every_command() -> None:
    page = (PROJECT / "docs" / "benchmarks.md").read_text()
    for name in COMMANDS:
        begin, end = markers(name)
        assert 0 < page.find(begin) < page.find(end)


def test_no_more_cores_are_chosen_than_there_are() -> None:
    assert len(choose_cores(1)) == 1
    assert len(choose_cores(10**6)) >= 1


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: coding.name)
def test_dcmtk_and_pydicom_decode_what_the_benchmark_encodes(
    coding: Coding, tmp_path: Path
) -> None:
    picture = make_picture(CT, 3, Numbers())
    path = save_picture(picture, tmp_path / "coded.dcm", coding)
    tools = {"RLE": "dcmdrle", "JPEG lossless": "dcmdjpeg", "JPEG-LS": "dcmdjpls"}
    if tool := tools.get(coding.name):
        raw = tmp_path / "raw.dcm"
        require_tool("dcmdump")
        assert run_tool(tool, path, raw).returncode == 0
        path = raw
    # JPEG 2000 and HTJ2K: OpenJPEG below pydicom.
    stored = np.frombuffer(picture.PixelData, "<u2").reshape(512, 512)
    np.testing.assert_array_equal(dcmread(path).pixel_array, stored)


def test_a_radiograph_keeps_its_grey_values(tmp_path: Path) -> None:
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    jpeg = tmp_path / "radiograph.jpeg"
    jpeg.write_bytes(imagecodecs.jpeg8_encode(grey, level=100))
    (found,) = find_radiographs(str(tmp_path))
    written = dcmread(write_radiograph(found, tmp_path / "radiograph.dcm", HTJ2K))
    decoded = np.asarray(PIL.Image.open(jpeg), np.uint16)  # a second decoder
    assert np.abs((written.pixel_array >> 4).astype(int) - decoded).max() <= 1
    assert find_radiographs("") == []


def test_the_three_ways_of_preparation_give_the_same_tensor(tmp_path: Path) -> None:
    paths = [
        save_picture(make_picture(kind, 1, Numbers()), tmp_path / kind.name)
        for kind in (CT, MR)
    ]
    assert check_alike(paths) <= TOLERANCE


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        # PS3.3 C.11.2.1.2.1, the example: c=2048, w=4096 maps 0 to 0, 4095 to 1.
        ("LINEAR", 0.0, 0.0),
        ("LINEAR", 4095.0, 1.0),
        ("LINEAR", 2047.5, 0.5),
        ("LINEAR_EXACT", 2048.0, 0.5),
        ("LINEAR_EXACT", 4096.0, 1.0),
        ("SIGMOID", 2048.0, 0.5),
        ("SIGMOID", 3072.0, 1 / (1 + np.exp(-1))),
    ],
)
def test_the_formulas_are_those_of_the_standard(
    function: str, value: float, expected: float
) -> None:
    window = Window(center=2048, width=4096, function=function)
    assert formula(np.array([value]), window)[0] == pytest.approx(expected)
