"""Every page and who may open it; see `create_app`."""

from collections.abc import Mapping

from starlette.routing import Route

from dicom_node.core.people import Role
from dicom_node.web import (
    pages_admin,
    pages_files,
    pages_models,
    pages_refused,
    pages_run_again,
    pages_work,
)
from dicom_node.web.auth import Page, require
from dicom_node.web.checks import Look
from dicom_node.web.pages_files import Frames
from dicom_node.web.pages_list import ListPages
from dicom_node.web.pages_patient import Names
from dicom_node.web.pages_study import StudyPages
from dicom_node.web.surroundings import set_preferences


def page_routes(looks: Mapping[str, Look]) -> list[Route]:
    """Make the routes of the pages.

    Args:
        looks: what /readyz looks at, by name.
    """
    names, frames = Names(), Frames()
    lists, studies = ListPages(names), StudyPages(names)
    health = pages_admin.HealthPage(looks)
    image = "/studies/{uid}/images/{image}/frames/{frame}"
    return [
        _get("/", lists.reading_list),
        _get("/studies/{uid}", studies.study),
        _get(f"{image}/levels", frames.levels),
        _get(f"{image}/picture.png", frames.picture),
        _get("/reports/{report}", pages_files.report_page),
        _get("/reports/{report}/file", pages_files.report_file),
        _get("/reports/{report}/picture.png", frames.summary),
        _get("/refused", pages_refused.refused),
        _get("/queues", pages_work.queues),
        _get("/models", pages_models.models),
        _get("/health", health.health),
        _get("/users", pages_admin.users, Role.ADMIN),
        _get("/audit", pages_admin.audit, Role.ADMIN),
        _get("/preferences", set_preferences, None),
        _post("/refused", pages_refused.refused_of, Role.VIEWER),
        _post("/search", lists.search, Role.VIEWER),
        _post("/studies/{uid}/run", pages_run_again.run_study_again, Role.OPERATOR),
        _post("/deliveries/{delivery}/retry", pages_work.retry_one, Role.OPERATOR),
        _get("/deliveries/{delivery}/resend", pages_work.ask_to_resend, Role.OPERATOR),
        _post("/deliveries/{delivery}/resend", pages_work.resend_one, Role.OPERATOR),
        _post("/queues/retry", pages_work.retry_all, Role.OPERATOR),
    ]


def _get(path: str, page: Page, role: Role | None = Role.VIEWER) -> Route:
    return Route(path, require(role)(page), methods=["GET"])


def _post(path: str, page: Page, role: Role) -> Route:
    return Route(path, require(role)(page), methods=["POST"])
