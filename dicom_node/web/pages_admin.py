"""Health for everybody; users, tokens and the audit for admins."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

import db.audit
import db.people
from dicom_node import __version__
from dicom_node.core.errors import NodeError
from dicom_node.web.checks import Look
from dicom_node.web.desk import Desk
from dicom_node.web.surroundings import words_for
from dicom_node.web.templates import render

_LOOK_SECONDS: Final = 1.5
_AUDIT_SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """What one look of /readyz found."""

    name: str
    good: bool
    detail: str


class HealthPage:
    """The checks of /readyz for people.

    Args:
        looks: by name; one that hangs is not asked again before it has ended.
    """

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks
        self._hanging: dict[str, threading.Thread] = {}

    def health(self, request: Request) -> Response:
        """Show every check; the details hold paths and sizes, nothing of patients."""
        t = words_for(request)
        found = [self._look(name, look) for name, look in self._looks.items()]
        context = {
            "checks": [
                CheckView(
                    name=t.name("health", item.name),
                    good=item.good,
                    detail=t.say(item.detail),
                )
                for item in found
            ],
            "ready": all(item.good for item in found),
            "version": __version__,
        }
        return render(request, "health.html", context)

    def _look(self, name: str, look: Look) -> CheckView:
        late = f"no answer within {_LOOK_SECONDS:g} s: it is down, or its disk is"
        known = self._hanging.get(name)
        if known is not None and known.is_alive():
            return CheckView(name=name, good=False, detail=late)
        found: list[CheckView] = []

        def run() -> None:
            try:
                found.append(CheckView(name=name, good=True, detail=look()))
            except NodeError as error:
                found.append(CheckView(name=name, good=False, detail=str(error)))
            except Exception:  # noqa: BLE001 - a thread's edge; its text may say anything
                found.append(CheckView(name=name, good=False, detail=late))

        thread = threading.Thread(target=run, name=f"look {name}", daemon=True)
        self._hanging[name] = thread
        thread.start()
        thread.join(_LOOK_SECONDS)
        return found[0] if found else CheckView(name=name, good=False, detail=late)


def users(request: Request) -> Response:
    """Show who may log in, and the API tokens."""
    desk: Desk = request.app.state.desk
    context = {
        "users": db.people.list_users(desk.database),
        "tokens": db.people.list_tokens(desk.database),
    }
    return render(request, "users.html", context)


def audit(request: Request) -> Response:
    """Show the latest lines of who looked at what and who changed what."""
    desk: Desk = request.app.state.desk
    entries = [
        entry
        for _, entry in db.audit.latest(desk.database, limit=_AUDIT_SHOWN, before=None)
    ]
    named = {entry.study_id for entry in entries if entry.study_id is not None}
    context = {
        "entries": entries,
        "studies": db.audit.name_studies(desk.database, named),
    }
    return render(request, "audit.html", context)
