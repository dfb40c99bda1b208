"""Names behind the role for them: every look is in the audit before it is answered."""

from collections.abc import Sequence
from contextlib import suppress

from starlette.requests import Request

import db.desk
from dicom_node.core.errors import StoreError
from dicom_node.core.ids import StudyId
from dicom_node.core.people import Visitor
from dicom_node.web.auth import Gate
from dicom_node.web.patient import Patient, read_patient
from dicom_node.web.problems import Problem


def look_at_patient(request: Request, study_id: StudyId) -> Patient:
    """Return whose study it is.

    Raises:
        Problem: the visitor may not see names, or the files are gone.
    """
    found = look_at_patients(request, [study_id])
    if study_id not in found:
        raise Problem(404, "the study's files are gone or cannot be read")
    return found[study_id]


def require_names(request: Request) -> Visitor:
    """Return the visitor, who may see names.

    Raises:
        Problem: the visitor may not.
    """
    user: Visitor | None = request.state.user
    if user is None or not user.sees_names:
        raise Problem(403, "names are for those who may see them: ask an admin")
    return user


def look_at_patients(
    request: Request, study_ids: Sequence[StudyId]
) -> dict[StudyId, Patient]:
    """Return whose studies these are; those whose files are gone are left out.

    Raises:
        Problem: the visitor may not see names.
    """
    gate: Gate = request.app.state.gate
    user = require_names(request)
    gate.record(user.name, "name seen", study_ids=study_ids)
    desk = gate.desk
    found = {}
    for study_id, key in db.desk.first_files(desk.database, study_ids).items():
        with suppress(StoreError):
            found[study_id] = read_patient(desk.instance_path(key))
    return found
