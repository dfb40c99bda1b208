"""What the role `web` serves: its composition root, beside `app`.

Apart from `app`, so that this process loads no torch and no network of DICOM, and
pydicom only when it shows an image or a name.
"""

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from config.settings import Settings
from db.desk_results import CurrentResult
from db.engine import Database
from db.patients import find_by_patient
from db.queries import Backlog, backlog
from dicom_node import __version__
from dicom_node.bell import ring
from dicom_node.core.clock import SystemClock
from dicom_node.core.ids import StudyId
from dicom_node.core.patient import PatientKeys
from dicom_node.observe.exposition import CONTENT_TYPE, Surroundings, metrics_text
from dicom_node.observe.metrics import CONGESTED, RECEIVE, STORAGE_FAILING
from dicom_node.observe.slots import read_slots
from dicom_node.store.files import FileStore
from dicom_node.store.instances import InstanceFiles
from dicom_node.web.api import api_routes
from dicom_node.web.app import create_app
from dicom_node.web.checks import ReceiverState, checks, disk_bytes, free_bytes
from dicom_node.web.desk import Desk, PatientKey
from dicom_node.web.fhir import fhir_routes
from dicom_node.web.fhir_search import Resource
from dicom_node.web.limits import LoginLimits
from dicom_node.web.pages import Contents
from dicom_node.web.pages_routes import page_routes
from dicom_node.web.surroundings import load_pages, surroundings
from dicom_node.web.token import Token

if TYPE_CHECKING:
    from inference.bundle import ListedBundle

# A monitor waits a second: what is slower than that is down.
_BUSY_SECONDS = 1.0
# Somebody who clicks waits longer, within the time of a request.
_DESK_BUSY_SECONDS = 5.0


def build_site(settings: Settings) -> ASGIApp:
    """Make the whole site.

    Raises:
        ConfigError: the token's file cannot be used.
    """
    return assemble(build_desk(settings), build_contents(settings))


def assemble(
    desk: Desk, contents: Contents, *, limits: LoginLimits | None = None
) -> ASGIApp:
    """Put the API and the pages around what they work with.

    Args:
        limits: of logins, instead of new ones.
    """
    load_pages()
    return create_app(
        desk,
        contents,
        routes=[
            *api_routes(),
            *fhir_routes(partial(_tell_study, desk)),
            *page_routes(contents.checks),
        ],
        furnish=surroundings,
        limits=limits,
    )


def build_desk(settings: Settings) -> Desk:
    """Make what the pages and the API work with."""
    database = Database(settings.database.url, busy_seconds=_DESK_BUSY_SECONDS)
    return Desk(
        settings=settings,
        database=database,
        clock=SystemClock(),
        instance_path=InstanceFiles(settings.instances_dir).path,
        report_path=FileStore(settings.reports_dir).path,
        find_by_patient=partial(_find_by_patient, settings, database),
        list_models=partial(_list_models, settings),
        wake=_waker(settings),
    )


def _tell_study(
    desk: Desk, results: Sequence[CurrentResult], names: bool
) -> Sequence[Resource]:
    from dicom_node.worklist.fhir_feed import tell_study  # loads pydicom

    return tell_study(
        desk.database, results, instance_path=desk.instance_path, names=names
    )


def _find_by_patient(
    settings: Settings, database: Database, kind: PatientKey, value: str
) -> Collection[StudyId]:
    keys = PatientKeys(settings.patient_key_file)
    digests = keys.of_id(value) if kind == "id" else keys.of_name(value)
    return find_by_patient(database, digests)


def _list_models(settings: Settings) -> "tuple[ListedBundle, ...]":
    from inference.bundle import list_bundles  # loads numpy

    return tuple(list_bundles(settings.models.folder))


def _waker(settings: Settings) -> Callable[[str], None]:
    def wake(role: str) -> None:
        ring(settings.bells_dir, role)

    return wake


def build_contents(settings: Settings) -> Contents:
    """Make what health and metrics show.

    Raises:
        ConfigError: the token's file cannot be used.
    """
    database = Database(settings.database.url, busy_seconds=_BUSY_SECONDS)
    file = settings.web.token_file

    def metrics(found: Backlog | None) -> bytes:
        surroundings = Surroundings(
            now=SystemClock().now(),
            version=__version__,
            free_bytes=free_bytes(settings),
            min_free_bytes=settings.receive.min_free_bytes,
            backlog=found,
            size_bytes=disk_bytes(settings),
        )
        return metrics_text(settings.metrics_dir, surroundings)

    return Contents(
        checks=checks(settings, database, partial(_receiver_state, settings)),
        backlog=partial(backlog, database),
        metrics=metrics,
        metrics_type=CONTENT_TYPE,
        token=Token(file) if file else None,
        is_open=not settings.web.login_required,
    )


def _receiver_state(settings: Settings) -> ReceiverState:
    now = time.monotonic()
    alive = [
        slot
        for slot in read_slots(settings.metrics_dir)
        if slot.alive and slot.role == RECEIVE
    ]
    failing = [slot for slot in alive if slot.values.get((STORAGE_FAILING,))]
    congested = [slot for slot in alive if slot.values.get((CONGESTED,))]
    return ReceiverState(
        silent_seconds=tuple(now - slot.beat for slot in alive if slot.beat),
        storage_failing=len(failing),
        congested=len(congested),
    )
