"""The demo's screen."""

import io

from rich.console import Console

from dicom_node.demo.story import Story


def test_without_a_terminal_every_step_is_one_plain_line_with_its_time() -> None:
    screen = io.StringIO()
    story = Story(Console(file=screen, width=40))

    story.step("a [bold]long[/bold] sentence " * 5, "green")
    with story.bar("sending", 3) as bar:
        bar.show(2)
    story.step("done")

    lines = screen.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].split(" s ", 1)[0].strip().replace(".", "").isdigit()
    assert "[bold]long[/bold]" in lines[0]
    assert "\x1b" not in screen.getvalue()


def test_on_a_terminal_long_lines_are_indented_below_their_beginning() -> None:
    screen = io.StringIO()
    story = Story(
        Console(file=screen, width=40, force_terminal=True, color_system=None)
    )

    story.step("word " * 20)

    first, second, *_ = screen.getvalue().splitlines()
    assert first.index("word") == second.index("word") > 5


def test_a_silent_story_keeps_its_steps_and_prints_nothing() -> None:
    screen = io.StringIO()
    story = Story(Console(file=screen), silent=True)

    story.step("one")
    story.say("two")
    story.lines(["three"])

    assert [step.text for step in story.steps] == ["one"]
    assert screen.getvalue() == ""
