"""What the pages and the API work with; `site` puts it together."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from config.settings import Settings
from db.engine import Database
from db.sessions import SessionLimits
from dicom_node.core.clock import Clock
from dicom_node.core.ids import StudyId

if TYPE_CHECKING:
    from inference.bundle import ListedBundle

PatientKey = Literal["id", "name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the pages and the API work with.

    Args:
        instance_path, report_path: file keys to files.
        find_by_patient: the studies with this whole Patient ID or name.
        list_models: what `dicom-node models list` lists.
        wake: tells another role that the database has work for it.
    """

    settings: Settings
    database: Database
    clock: Clock
    instance_path: Callable[[str], Path]
    report_path: Callable[[str], Path]
    find_by_patient: Callable[[PatientKey, str], Collection[StudyId]]
    list_models: Callable[[], "tuple[ListedBundle, ...]"]
    wake: Callable[[str], None]

    @property
    def session_limits(self) -> SessionLimits:
        """How long logins last."""
        web = self.settings.web
        return SessionLimits(
            idle=timedelta(minutes=web.session_idle_minutes),
            absolute=timedelta(hours=web.session_hours),
        )
