"""The button that runs a study again which has no result."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from db.desk import StudyPage
from db.run_again import RunAgain, Way, run_again, way_to_run_again
from dicom_node.web.auth import Gate
from dicom_node.web.pages_study import DONE_RUN, load_study
from dicom_node.web.problems import Problem

_WORK: Final = "work"
_DELIVER: Final = "deliver"


def run_study_again(request: Request) -> Response:
    """Run a study again the way that may help, and show it."""
    page = load_study(request)
    line = page.line
    way = way_to_run_again(line.state, line.ignored_because, line.jobs)
    if line.files_gone or way is None:
        raise Problem(409, "there is nothing to run again: look where the study stands")
    _run(request, page, way)
    there = f"/studies/{line.study_instance_uid}?done={DONE_RUN}"
    return RedirectResponse(there, status_code=303)


def _run(request: Request, page: StudyPage, way: Way) -> None:
    gate: Gate = request.app.state.gate
    desk, line = gate.desk, page.line
    done = run_again(
        desk.database,
        line.study_id,
        way,
        study_instance_uid=line.study_instance_uid,
        now=desk.clock.now(),
    )
    gate.record(
        request.state.user.name, way, study_ids=[line.study_id], detail=_detail(done)
    )
    desk.wake(_WORK)
    if done.deliveries:
        desk.wake(_DELIVER)


def _detail(done: RunAgain) -> str:
    if done.revision is not None:
        return f"revision {done.revision}"
    return f"{done.jobs} jobs, {done.deliveries} deliveries"
