"""Patients' names on pages, for whom may see them."""

import time
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from dicom_node.core.ids import StudyId
from dicom_node.web.names import look_at_patients

# The list asks every few seconds: one look of a reader is one line of the audit.
_LOOK_SECONDS: Final = 600.0
_KEPT_MAX: Final = 2000


class Names:
    """Names that a reader saw a short while ago; in memory only."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, StudyId], tuple[float, str]] = {}

    def names(
        self, request: Request, study_ids: Sequence[StudyId]
    ) -> dict[StudyId, str]:
        """Return the patients' names of studies; {} for whom may not see them."""
        user = request.state.user
        if user is None or not user.sees_names:
            return {}
        oldest = time.monotonic() - _LOOK_SECONDS
        fresh = {
            study_id: seen[1]
            for study_id in study_ids
            if (seen := self._seen.get((user.name, study_id))) and seen[0] > oldest
        }
        missing = [study_id for study_id in study_ids if study_id not in fresh]
        if missing:
            for study_id, patient in look_at_patients(request, missing).items():
                fresh[study_id] = readable(patient.name)
                self._seen[user.name, study_id] = time.monotonic(), fresh[study_id]
        while len(self._seen) > _KEPT_MAX:
            self._seen.pop(next(iter(self._seen)), None)
        return fresh


def readable(name: str) -> str:
    """Write a person name as people do: its component groups, "family given".

    Source: PS3.5 6.2.1 (PN).
    """
    groups = [" ".join(group.replace("^", " ").split()) for group in name.split("=")]
    return " · ".join(filter(None, dict.fromkeys(groups)))
