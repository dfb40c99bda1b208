"""The demo's beginning and end, for somebody who sees a node for the first time."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dicom_node.demo.node import AE_TITLE, example_configuration
from dicom_node.demo.output import Output
from dicom_node.demo.story import Story
from dicom_node.demo.verify import Check

RESEARCH_USE: Final = (
    "For research use only. Not a medical device: never decide about a patient with it."
)
_BEGIN: Final = (
    "A hospital keeps its images in a PACS, the picture archive. Here a stand-in for "
    "one sends studies to the node. The node stores them, a Vision Transformer looks "
    "at those it is made for, and a structured report (DICOM SR, a report that "
    "software can read) goes back into the same study of the PACS."
)


def begin(story: Story) -> None:
    """Say what is going to happen."""
    story.say("dicom-node demo: the whole node on this machine", "bold")
    story.say(RESEARCH_USE, "bold yellow")
    story.say(_BEGIN)
    story.say()


def tell_checks(story: Story, checks: Sequence[Check]) -> None:
    """List the checks and the verdict."""
    story.say()
    story.say("Checks", "bold")
    for check in checks:
        if check.passed:
            story.point("ok", check.name, "green")
        else:
            story.point("FAILED", f"{check.name}: {check.fault}", "bold red")
    failed = sum(not check.passed for check in checks)
    story.say()
    if failed:
        text = f"Something is off: {failed} of {len(checks)} checks failed"
        story.say(f"{text} after {story.seconds:.1f} s.", "bold red")
    else:
        text = f"Everything is as it should be: {len(checks)} checks passed"
        story.say(f"{text} in {story.seconds:.1f} s.", "bold green")


def tell_page(story: Story, address: str, *, keep: bool) -> None:
    """Say where the page is, and for how long."""
    if keep:
        story.step(f"the page shows the study: {address}")
        story.step("open it in a browser; Ctrl-C ends the node", "bold")
    else:
        story.step(
            f"the page was at {address}: `make demo KEEP=1`, or --keep, leaves it open"
        )


def finish(
    story: Story, output: Output, *, own_files: bool, pictures: Sequence[Path] = ()
) -> None:
    """Say where everything is and how to go on.

    Args:
        pictures: summaries of results, for any program that shows images.
    """
    command, config = _command(), _short(output.config)
    story.say()
    story.say("Where things are", "bold")
    places = [
        ("database", output.database),
        ("received files", output.data / "instances"),
        ("reports", output.data / "reports"),
        ("in the PACS", output.reports),
        *(("summary picture", path) for path in pictures[:1]),
        ("node's log", output.log),
        ("configuration", output.config),
    ]
    story.lines([f"  {name:<15} {_short(path)}" for name, path in places])
    story.say()
    story.say("Look closer", "bold")
    shown = "STUDY_UID" if own_files else "DEMO-3"
    story.lines(
        [
            f"  {command} studies --config {config}",
            f"  {command} show {shown} --config {config}    why a study got its answer",
        ]
    )
    story.say()
    story.say("With your own PACS", "bold")
    story.say(
        "Save these lines as node.toml and put your PACS in place of YOURPACS and "
        "192.0.2.10:"
    )
    story.say()
    story.lines([f"  {line}" for line in example_configuration().splitlines()])
    story.say()
    story.lines([f"  {command} check --config node.toml    says what is wrong with it"])
    story.lines([f"  {command} serve --config node.toml    runs the node"])
    story.say(
        f"Then let the PACS route studies to {AE_TITLE} on this machine, port 11112; "
        "docs/pacs.md shows how with Orthanc, dcm4chee and storescu."
    )
    story.say()
    story.say(RESEARCH_USE, "bold yellow")


def _command() -> str:
    """Return how the reader starts dicom-node from this folder."""
    beside = Path(sys.executable).with_name("dicom-node")
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if str(beside.parent) in folders or not beside.exists():
        return "dicom-node"
    return _short(beside)


def _short(path: Path) -> str:
    """Return a path from the current folder if it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
