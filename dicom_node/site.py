"""What the pages of the role `web` show: its composition root, beside `app`.

Apart from `app`, so that this process loads no DICOM library.
"""

import time
from functools import partial

from starlette.types import ASGIApp

from config.settings import Settings
from db.engine import Database
from db.queries import Backlog, backlog
from dicom_node import __version__
from dicom_node.core.clock import SystemClock
from dicom_node.observe.exposition import CONTENT_TYPE, Surroundings, metrics_text
from dicom_node.observe.metrics import CONGESTED, RECEIVE, STORAGE_FAILING
from dicom_node.observe.slots import read_slots
from dicom_node.web.checks import ReceiverState, checks, free_bytes
from dicom_node.web.pages import Contents, build_pages
from dicom_node.web.token import Token

# A monitor waits a second: what is slower than that is down.
_BUSY_SECONDS = 1.0


def build_site(settings: Settings) -> ASGIApp:
    """Make the pages of health and metrics.

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
        )
        return metrics_text(settings.metrics_dir, surroundings)

    contents = Contents(
        checks=checks(settings, database, partial(_receiver_state, settings)),
        backlog=partial(backlog, database),
        metrics=metrics,
        metrics_type=CONTENT_TYPE,
        token=Token(file) if file else None,
    )
    return build_pages(contents)


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
