"""One study: result, images, why, deliveries, timeline."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from db.desk import StudyPage, study_page
from db.desk_associations import associations_of
from db.desk_deliveries import DeliveryLine
from db.desk_images import images_of
from db.desk_suggestions import Standing
from db.left_behind import left_behind
from db.refusals import count_refusals, refusals_of
from db.run_again import Way, way_to_run_again
from db.sending import STAGE_QUARANTINED
from dicom_node.core.people import Role
from dicom_node.core.states import WorkState
from dicom_node.web.api_documents import complete_at
from dicom_node.web.auth import Gate
from dicom_node.web.desk import Desk
from dicom_node.web.pages_images import images_view
from dicom_node.web.pages_patient import Names
from dicom_node.web.pages_study_view import results, routes_view
from dicom_node.web.pages_timeline import timeline, told_deliveries
from dicom_node.web.pages_words import (
    WORK_KIND,
    describe_instances,
    study_state,
    work_state,
)
from dicom_node.web.problems import Problem
from dicom_node.web.surroundings import words_for
from dicom_node.web.templates import render
from dicom_node.web.words import Catalogue

DONE_RUN: Final = "run"
_UID_MAX: Final = 64
_FRAME_MAX: Final = 1_000_000
_PRESETS: Final = (
    "file", "model", "percentile", "lung", "soft", "bone", "brain", "full",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """A delivery as a table shows it.

    Args:
        kind: of its state: "good", "bad", "busy", "idle".
        next: when it is tried again, None where it is not.
    """

    line: DeliveryLine
    state: str
    kind: str
    reason: str
    next: datetime | None
    may_retry: bool
    may_resend: bool


class StudyPages:
    """The page of a study."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def study(self, request: Request) -> Response:
        """Show one study."""
        t, page = words_for(request), load_study(request)
        desk: Desk = request.app.state.desk
        images = images_view(
            t,
            page,
            images_of(desk.database, page.line.study_id),
            wanted=request.query_params.get("image", "")[:_UID_MAX],
            frame=read_number(request.query_params.get("frame", ""), most=_FRAME_MAX),
        )
        sent = [
            view_delivery(t, line, request, reason=story.reason)
            for line, story in told_deliveries(page)
        ]
        state, state_kind = study_state(page.line)
        now, earlier = results(t, page)
        study_id = page.line.study_id
        context: dict[str, Any] = {
            "line": page.line,
            "story": page.story,
            "remedy": t.say(page.line.what_to_do),
            "patient": self._names.names(request, [study_id]).get(study_id, ""),
            "about": describe_instances(t, page.line),
            "state": state,
            "state_kind": state_kind,
            "suggestions": page.line.suggestions,
            "former": [
                item
                for item in reversed(page.suggested)
                if item.standing is not Standing.HOLDS
            ],
            "results": now,
            "earlier": earlier,
            "stays": [
                t(
                    "study.stays_there",
                    model=one.model,
                    revision=one.revision,
                    destinations=", ".join(one.destinations),
                )
                for one in left_behind(page.story.decisions, page.story.jobs)
                if one.now
            ],
            "images": images,
            "frames": images.shown.all_frames if images else 0,
            "viewer_words": {key: t(f"viewer.{key}") for key in (*_PRESETS, "broken")},
            "plain_presets": [key for key in _PRESETS if key not in ("file", "model")],
            "decisions": [
                (item, routes_view(item)) for item in reversed(page.story.decisions)
            ],
            "deliveries": [item for item in sent if _is_latest(item.line, page)],
            "former_deliveries": [
                item for item in sent if not _is_latest(item.line, page)
            ],
            "may_deliver": any(job.prediction for job in page.story.jobs),
            "with_study": False,
            "timeline": timeline(t, page, associations_of(desk.database, study_id)),
            "refused": sum(
                not one.here
                for one in refusals_of(desk.database, page.line.study_instance_uid)
            ),
            "complete_at": complete_at(page.line, desk.settings.quiet_times),
            "now": desk.clock.now(),
            "run_again": _way(page, request),
            "done": t("study.runs_again")
            if request.query_params.get("done") == DONE_RUN
            else "",
        }
        return render(request, "study.html", context)


def _is_latest(line: DeliveryLine, page: StudyPage) -> bool:
    """Say whether nothing of a later revision of this model was to be delivered."""
    revisions = (one.revision for one in page.deliveries if one.model == line.model)
    return line.revision == max(revisions)


def _way(page: StudyPage, request: Request) -> Way | None:
    """Return how this visitor may run the study again."""
    line = page.line
    if line.files_gone or not request.state.user.role.covers(Role.OPERATOR):
        return None
    return way_to_run_again(line.state, line.ignored_because, line.jobs)


def load_study(request: Request) -> StudyPage:
    """Return the study of the path.

    Raises:
        Problem: there is none.
    """
    desk: Desk = request.app.state.desk
    uid = request.path_params["uid"]
    found = None
    if len(uid) <= _UID_MAX and uid.isprintable():
        found = study_page(desk.database, uid, now=desk.clock.now())
    if found is None:
        raise Problem(404, _say_nothing(desk, uid))
    return found


def _say_nothing(desk: Desk, uid: str) -> str:
    said = "no study with this Study Instance UID was received"
    asked = uid if len(uid) <= _UID_MAX and uid.isprintable() else ""
    if count_refusals(desk.database, asked):
        return f"{said}; images of it were refused, the page Refused says why"
    return said


def read_number(text: str, *, most: int) -> int:
    """Return a whole number from 1 to `most`, 0 for anything else."""
    usable = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    number = int(text) if usable else 0
    return number if number <= most else 0


def view_delivery(
    t: Catalogue, line: DeliveryLine, request: Request, *, reason: str | None
) -> DeliveryView:
    """Return a delivery as a table shows it to this visitor."""
    gate: Gate = request.app.state.gate
    waits = line.state is WorkState.QUEUED and line.not_before > gate.desk.clock.now()
    failed = line.state is WorkState.FAILED and line.stage != STAGE_QUARANTINED
    operator = request.state.user.role.covers(Role.OPERATOR)
    return DeliveryView(
        line=line,
        state=work_state(t, line.state, stage=line.stage),
        kind=WORK_KIND[line.state],
        reason=t.say(reason or ""),
        next=line.not_before if waits else None,
        may_retry=failed and operator,
        may_resend=line.state is WorkState.DONE and operator,
    )
