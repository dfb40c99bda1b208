"""States, findings and studies in words that several pages use."""

from collections.abc import Mapping
from typing import Final

from db.desk import StudyLine
from db.summary import FindingSummary, JobSummary
from dicom_node.core.states import EVALUATED, Outcome, StudyState, WorkState
from dicom_node.web.words import Catalogue

# A word of the catalogue, and the kind of state that decides shape and colour.
WORK_KIND: Final[Mapping[WorkState, str]] = {
    WorkState.QUEUED: "busy",
    WorkState.RUNNING: "busy",
    WorkState.DONE: "good",
    WorkState.FAILED: "bad",
    WorkState.CANCELLED: "idle",
}
_GOES_ON: Final = (WorkState.QUEUED, WorkState.RUNNING)


def study_state(line: StudyLine) -> tuple[str, str]:
    """Return the word for where a study stands, and its kind."""
    if line.state is StudyState.RECEIVING:
        return "receiving", "busy"
    if line.state is StudyState.IGNORED:
        return "ignored", "idle"
    latest = [job for job in line.jobs if job["revision"] == line.revision]
    jobs = {WorkState(job["state"]) for job in latest if not _is_leaving(job)}
    sent = {WorkState(item["state"]) for job in latest for item in job["deliveries"]}
    if any(map(_is_leaving, latest)):
        sent.add(WorkState.QUEUED)
    for found, state, word, kind in (
        (jobs, WorkState.RUNNING, "running", "busy"),
        (jobs, WorkState.QUEUED, "waiting", "busy"),
        (sent, WorkState.FAILED, "delivery_failed", "bad"),
        (jobs, WorkState.FAILED, "failed", "bad"),
        (sent, WorkState.RUNNING, "sending", "busy"),
        (sent, WorkState.QUEUED, "sending", "busy"),
        (sent, WorkState.DONE, "done", "good"),
    ):
        if state in found:
            return word, kind
    if WorkState.DONE not in jobs:
        return "cancelled", "idle"
    if all(job["outcome"] == Outcome.NOT_EVALUATED for job in latest):
        return "not_evaluated", "idle"
    return "result", "good"


def _is_leaving(job: JobSummary) -> bool:
    """Say whether the result is known, while its job still writes pictures."""
    return job["outcome"] in EVALUATED and job["state"] in _GOES_ON


def work_state(t: Catalogue, state: WorkState, *, stage: str = "") -> str:
    """Return the words for where a job or a delivery stands."""
    if state is WorkState.QUEUED and stage:
        return t("work.awaiting")
    return t(f"work.{state}")


def describe_finding(t: Catalogue, finding: FindingSummary) -> str:
    """Say a finding and its number."""
    return f"{t.name('finding', finding['meaning'])} {_number(finding)}"


def _number(finding: FindingSummary) -> str:
    if finding["value"] is not None:
        unit = finding["unit"] or ""
        return f"{finding['value']:.4g} {'' if unit == '1' else unit}".rstrip()
    return show_probability(finding["probability"])


def show_probability(value: float) -> str:
    """Write a probability with two decimals, never as a certainty that it is not."""
    if 0 < value < 0.01:
        return "< 0.01"
    if 0.99 < value < 1:
        return "> 0.99"
    return f"{value:.2f}"


def describe_instances(t: Catalogue, line: StudyLine) -> str:
    """Say modality, description and how many images there are."""
    images = (
        t("list.image") if line.instances == 1 else t("list.images", n=line.instances)
    )
    header = line.header
    named = [header.modality, header.study_description] if header else []
    return " · ".join([*filter(None, named), images])
