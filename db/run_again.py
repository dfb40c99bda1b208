"""A study without a result, run once more on somebody's word."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from db import revive, studies
from db.engine import Database
from db.sending import STAGE_QUARANTINED
from db.summary import JobSummary
from dicom_node.core.ids import StudyId
from dicom_node.core.states import ONLY_OWN_RESULTS, Outcome, StudyState, WorkState


class Way(StrEnum):
    """How a study is run again; also what the audit calls it."""

    RETRY = "retry"  # its failed jobs, as they were routed
    REPLAY = "replay"  # routed anew, by the rules in force, as the next revision


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAgain:
    """What was queued."""

    jobs: int = 0
    deliveries: int = 0
    revision: int | None = None


def way_to_run_again(
    state: StudyState, ignored_because: str | None, ran: Sequence[JobSummary]
) -> Way | None:
    """Return what may give a study the result that it lacks, None if nothing may.

    Args:
        ran: the study's jobs that hold (`db.holding`), oldest first.
    """
    if state is StudyState.IGNORED:
        return None if ignored_because == ONLY_OWN_RESULTS else Way.REPLAY
    latest = {job["model"]: job for job in ran}.values()
    states = {WorkState(job["state"]) for job in latest}
    if state is not StudyState.ROUTED or states & {WorkState.QUEUED, WorkState.RUNNING}:
        return None
    if WorkState.FAILED in states:
        return Way.RETRY
    return Way.REPLAY if any(map(_is_lacking, latest)) else None


def _is_lacking(job: JobSummary) -> bool:
    """Say whether there is no result, or none that may leave the node."""
    if job["outcome"] in (Outcome.FAILED, Outcome.NOT_EVALUATED):
        return True
    return any(item["stage"] == STAGE_QUARANTINED for item in job["deliveries"])


def run_again(
    database: Database,
    study_id: StudyId,
    way: Way,
    *,
    study_instance_uid: str,
    now: datetime,
) -> RunAgain:
    """Run a study again.

    Raises:
        LostRace: it is routed anew already, or nothing of it has failed.
    """
    if way is Way.REPLAY:
        return RunAgain(revision=studies.reopen(database, study_id, now=now))
    jobs, deliveries = revive.retry(
        database, study_instance_uid=study_instance_uid, now=now
    )
    return RunAgain(jobs=jobs, deliveries=deliveries)
