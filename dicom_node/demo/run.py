"""The demo from its first line to its last: read this to see what it does."""

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console

import db.queries
from db.engine import Database
from db.summary import StudySummary
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.send import (
    SendProgress,
    SendSummary,
    SentFile,
    echo,
    send_files,
)
from dicom_node.demo import node, words
from dicom_node.demo.images import Case, Expected, write_cases
from dicom_node.demo.output import Output, make_output
from dicom_node.demo.own_files import find_cases
from dicom_node.demo.page import page_address, wait_for_reader
from dicom_node.demo.pictures import write_pictures
from dicom_node.demo.stand_in import AE_TITLE as PACS_AE_TITLE
from dicom_node.demo.stand_in import StandInPacs
from dicom_node.demo.story import Story
from dicom_node.demo.verify import (
    Check,
    check_deliveries,
    check_reports,
    check_sending,
    check_studies,
)
from dicom_node.demo.watch import Watch

_POLL_SECONDS: Final = 0.2
_STALLED_SECONDS: Final = 90.0  # no study changed for so long: something is off
_PATIENCE_SECONDS: Final = 8.0  # then say that nothing is wrong yet
_LISTED_FILES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line asks of the demo.

    Args:
        data: a folder of the user's files to send instead of the demo's images.
        as_json: print one JSON document at the end, and nothing else.
        keep: leave the node and its page running until Ctrl-C.
    """

    data: Path | None
    output: Path
    as_json: bool = False
    keep: bool = False


def run_demo(options: DemoOptions, console: Console) -> int:
    """Run the whole node against a stand-in PACS and check what comes back.

    Returns:
        0 if everything is as it should be, 1 if anything is off.

    Raises:
        NodeError: the demo could not be run to its end.
    """
    story = Story(console, silent=options.as_json)
    output = make_output(options.output, data=options.data)
    words.begin(story)
    with _ending_on_sigterm(), StandInPacs(output.reports) as pacs:
        story.step(
            f"a stand-in PACS listens on 127.0.0.1:{pacs.port} as {PACS_AE_TITLE}"
        )
        cases = _prepare(options.data, output, story)
        web_port = node.free_port()
        address = _configure(output, pacs, story, web_port=web_port)
        running = node.NodeProcess(output)
        try:
            _start(running, address, story)
            summary = _send(cases, address, story)
            stored = _stored(cases, summary)
            studies = _watch(stored, output, story, running=running)
            words.tell_page(
                story, page_address(studies, port=web_port), keep=options.keep
            )
            if options.keep:
                wait_for_reader(running)
        finally:
            exit_code = running.stop()
        story.step("the node was asked to stop (SIGTERM) and has ended")
        checks = _check(cases, summary, studies, pacs.files, story)
        pictures = write_pictures(pacs.files)
    if any(case.expected is Expected.PRESENT for case in cases):
        fault = "" if pictures else "there is none that can be shown"
        checks.append(Check("there is a summary picture to look at", fault))
    checks.append(Check("the node ended by itself", _exit_fault(exit_code)))
    words.tell_checks(story, checks)
    words.finish(story, output, own_files=options.data is not None, pictures=pictures)
    if options.as_json:
        print(json.dumps(_document(output, story, studies, checks), indent=2))
    return 0 if all(check.passed for check in checks) else 1


def _prepare(data: Path | None, output: Output, story: Story) -> list[Case]:
    if data is None:
        cases = write_cases(output.images)
        story.step(f"{len(cases)} studies lie in the PACS:")
        for case in cases:
            story.point("", f"{case.name}: {case.about}")
        return cases
    cases, others = find_cases(data)
    files = sum(len(case.files) for case in cases)
    left = f"; {others} other files are left out" if others else ""
    story.step(f"your folder holds {files} DICOM files of {len(cases)} studies{left}")
    return cases


def _configure(
    output: Output, pacs: StandInPacs, story: Story, *, web_port: int
) -> Peer:
    port = node.free_port()
    output.config.write_text(
        node.demo_configuration(
            port=port,
            web_port=web_port,
            pacs_ae_title=PACS_AE_TITLE,
            pacs_port=pacs.port,
        ),
        encoding="utf-8",
    )
    story.step(f"the node's configuration is written: {output.config}")
    return Peer(
        host="127.0.0.1",
        port=port,
        called_ae_title=node.AE_TITLE,
        calling_ae_title=PACS_AE_TITLE,
    )


def _start(running: node.NodeProcess, address: Peer, story: Story) -> None:
    story.step("the node starts: dicom-node serve")
    running.wait_ready()
    seconds = echo(address)
    story.step(
        f"the node is ready on 127.0.0.1:{address.port} as {node.AE_TITLE}; it answers "
        f"a C-ECHO, DICOM's ping, in {seconds * 1000:.0f} ms"
    )


def _send(cases: Sequence[Case], address: Peer, story: Story) -> SendSummary:
    sources = {path: case for case in cases for path in case.files}
    files = list(sources)
    story.step(
        f"the PACS sends {len(files)} files to the node (C-STORE); the node answers "
        "0x0000 once a file is safe on its disk"
    )
    with story.bar("sending", len(files)) as bar:

        def on_progress(progress: SendProgress) -> None:
            bar.show(progress.done)
            if len(files) <= _LISTED_FILES or not progress.last.taken:
                story.step(*_describe_answer(progress.last, sources))

        summary = send_files(files, address, on_progress=on_progress)
    story.step(
        f"{summary.taken} of {len(files)} files are stored by the node; it waits "
        f"{node.QUIET_SECONDS} s for more before it calls a study whole"
    )
    return summary


def _describe_answer(file: SentFile, sources: dict[Path, Case]) -> tuple[str, str]:
    case = sources[file.path]
    name = case.name if len(case.files) == 1 else f"{case.name}, {file.path.name}"
    if file.status is None:
        return f"{name}: not sent, {file.problem}", "red"
    status = f"0x{file.status:04X}"
    if file.taken:
        return f"{name}: stored, {status}", ""
    wanted = case.expected is Expected.REFUSED
    return f"{name}: refused, {status}{', as it should be' * wanted}", "yellow"


def _stored(cases: Sequence[Case], summary: SendSummary) -> list[Case]:
    """Return the studies of which the node took at least one file."""
    taken = {file.path for file in summary.files if file.taken}
    return [case for case in cases if taken.intersection(case.files)]


def _watch(
    cases: Sequence[Case], output: Output, story: Story, *, running: node.NodeProcess
) -> list[StudySummary]:
    """Tell what becomes of the studies until each has its answer."""
    watch = Watch(cases, story.step)
    studies: list[StudySummary] = []
    with (
        closing(Database(f"sqlite:///{output.database}")) as database,
        story.bar("answered", watch.total) as bar,
    ):
        changed = told = time.monotonic()
        while watch.answered < watch.total:
            studies = db.queries.studies(database)
            if watch.update(studies):
                changed = told = time.monotonic()
            elif time.monotonic() - told > _PATIENCE_SECONDS:
                told = time.monotonic()
                story.step(_still_waiting(watch), "dim")
            bar.show(watch.answered)
            if not running.running:
                story.step("the node has ended by itself: see its log", "red")
                break
            if time.monotonic() - changed > _STALLED_SECONDS:
                story.step("nothing has changed for too long: giving up", "red")
                break
            time.sleep(_POLL_SECONDS)
    return studies


def _still_waiting(watch: Watch) -> str:
    if watch.answered == 0:
        return (
            "still waiting: a node that has just started loads PyTorch and the model "
            "first, which takes a while on a busy machine"
        )
    return f"still waiting: {watch.answered} of {watch.total} studies have an answer"


def _check(
    cases: Sequence[Case],
    summary: SendSummary,
    studies: Sequence[StudySummary],
    reports: Sequence[Path],
    story: Story,
) -> list[Check]:
    stored = _stored(cases, summary)
    asked = [c for c in cases if c in stored or c.expected is not Expected.ANSWERED]
    checks = [*check_sending(cases, summary), *check_studies(asked, studies)]
    checks += check_deliveries(studies, reports)
    if reports:
        with story.bar("validating", len(reports)) as bar:
            checks += check_reports(cases, reports, on_progress=bar.show)
    elif any(case.expected is Expected.PRESENT for case in cases):
        checks.append(Check("there are reports to validate", "there is none"))
    return checks


def _exit_fault(code: int) -> str:
    return "" if code == 0 else f"its exit code is {code}: see its log"


def _document(
    output: Output,
    story: Story,
    studies: Sequence[StudySummary],
    checks: Sequence[Check],
) -> dict[str, object]:
    return {
        "passed": all(check.passed for check in checks),
        "seconds": round(story.seconds, 3),
        "research_use_only": True,
        "steps": [asdict(step) for step in story.steps],
        "studies": list(studies),
        "checks": [
            {"name": check.name, "passed": check.passed, "fault": check.fault or None}
            for check in checks
        ],
        "paths": {
            "configuration": str(output.config),
            "database": str(output.database),
            "data": str(output.data),
            "log": str(output.log),
            "reports": str(output.reports),
        },
    }


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does: its processes are stopped first."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
