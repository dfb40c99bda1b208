"""A node that tells three systems, and what each revision told them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydicom.uid import generate_uid

import db.queries
import db.sending
import db.studies
import db.suggestions
import db.work
from config.settings import Settings
from db.engine import Database
from dicom_node import app, pipeline
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import InferenceError
from dicom_node.core.states import Outcome, ReportKind, WorkState
from dicom_node.core.types import Delivery, InputFile, Prediction, Sent
from inference.api import InputSpec
from tests.e2e.images import make_radiograph
from tests.integration.kept import KeptNode, keep_study
from tests.unit.inference.cards import PNEUMONIA, make_bundle

STUDY = "1.2.826.0.1.3680043.9.6"
CONFIGURATION = """
[receive]
min_free_bytes = 1000000
[models]
folder = "bundles"
device = "cpu"
threads = 1
[[worklist.rules]]
finding = "pneumo*"
urgency = "STAT"
[[destinations]]
name = "ris"
kind = "hl7"
host = "127.0.0.1"
port = 9
[[destinations]]
name = "ehr"
kind = "fhir"
url = "http://127.0.0.1:9/fhir"
[[destinations]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:9/hook"
secret_file = "hook.secret"
[[routes]]
name = "all"
model = "tiny"
destinations = ["ris", "ehr", "hook"]
"""

# Put at the end, it belongs to the last route.
NO_STUDY = """
[routes.when]
modality = ["NOT-A-MODALITY"]
"""


class BrokenModel:
    """An executor that never comes to a result."""

    def predict(self, model: str, files: Sequence[InputFile]) -> Prediction:
        raise InferenceError("the device is gone", retryable=False)

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Messages:
    """What one revision told each channel, "" or {} for nothing."""

    hl7: str
    fhir: dict[str, Any]
    webhook: dict[str, Any]

    @property
    def statuses(self) -> dict[str, str]:
        """Statuses of OBX-11 by the code of OBX-3."""
        rows = [line.split("|") for line in self.hl7.split("\r")]
        return {
            row[3].split("^")[0]: row[11] for row in rows if row[0].startswith("OBX")
        }

    @property
    def resources(self) -> dict[str, set[str]]:
        """The statuses of the FHIR resources by their type."""
        found: dict[str, set[str]] = {}
        for entry in self.fhir.get("entry", ()):
            resource = entry["resource"]
            if "status" in resource:
                kind = resource["resourceType"]
                found.setdefault(kind, set()).add(resource["status"])
        return found


@dataclass(frozen=True, slots=True)
class Site:
    """A node's folder."""

    folder: Path

    @property
    def node(self) -> KeptNode:
        """What is on disk."""
        return KeptNode(configuration=self.folder / "node.toml")

    def receive(self) -> None:
        """Receive one more image, and infer on the study."""
        image = make_radiograph(STUDY)
        image.SOPInstanceUID = generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        assert keep_study(self.node.configuration, [image]) is Outcome.PRESENT

    def give_up(self) -> str:
        """Run the study again with a model that fails; return the job's reason."""
        settings, clock = self.node.settings, SystemClock()
        with closing(app.open_database(settings)) as database:
            (study_id,) = db.studies.identify(database, STUDY)
            db.studies.reopen(database, study_id, now=clock.now())
            router = app.build_router(settings)
            pipeline.on_quiet_study(database, study_id, router, clock)
            job = db.work.claim_job(
                database, owner="test", now=clock.now(), lease_seconds=60
            )
            assert job is not None
            work = app.build_work(settings, database)
            broken = replace(work, executor=BrokenModel())
            assert pipeline.on_job(broken, job) is Outcome.FAILED
            work.executor.close()
            (story,) = db.queries.timeline(database, STUDY)
            last = max(story.jobs, key=lambda one: one.summary["revision"])
            assert last.moves[-1].target is WorkState.FAILED
            return last.moves[-1].reason or ""

    @property
    def suggested(self) -> bool:
        """Whether the reading list is told anything at present."""
        with closing(app.open_database(self.node.settings)) as database:
            found = db.studies.identify(database, STUDY)
            now = SystemClock().now()
            return bool(db.suggestions.current(database, found, now=now))

    def leave_out(self) -> None:
        """Route the study again by rules that no study fits, and do what follows."""
        text = self.node.configuration.read_text()
        self.node.configuration.write_text(text + NO_STUDY)
        settings, clock = self.node.settings, SystemClock()
        with closing(app.open_database(settings)) as database:
            (study_id,) = db.studies.identify(database, STUDY)
            db.studies.reopen(database, study_id, now=clock.now())
            router = app.build_router(settings)
            routed = pipeline.on_quiet_study(database, study_id, router, clock)
            assert routed.routes == ()
            self._work(settings, database)
        self.node.configuration.write_text(text)

    def _work(self, settings: Settings, database: Database) -> None:
        """Carry out the jobs there are, without a model."""
        work = app.build_work(settings, database)
        work.executor.close()
        broken = replace(work, executor=BrokenModel())
        now = SystemClock().now()
        while job := db.work.claim_job(
            database, owner="test", now=now, lease_seconds=60
        ):
            pipeline.on_job(broken, job)

    def told(self) -> Messages:
        """Take the deliveries that are due, as if they were sent; () ends it."""
        settings = self.node.settings
        store = app.report_store(settings)
        found: dict[ReportKind, str] = {}
        with closing(app.open_database(settings)) as database:
            for delivery in _due(database):
                (report,) = delivery.reports
                content = store.path(report.file_key).read_bytes().decode()
                assert delivery.kind not in found
                found[delivery.kind] = content
                uid = report.sop_instance_uid
                db.sending.choose(database, delivery, uid)
                sent = Sent(status=0, sop_instance_uid=uid)
                now = SystemClock().now()
                db.sending.settle_delivery(database, delivery, sent, now=now)
        return Messages(
            hl7=found.get(ReportKind.HL7, ""),
            fhir=json.loads(found.get(ReportKind.FHIR, "{}")),
            webhook=json.loads(found.get(ReportKind.WEBHOOK, "{}")),
        )


def _due(database: Any) -> Iterator[Delivery]:
    while delivery := db.work.claim_delivery(
        database,
        owner="test",
        now=SystemClock().now() + timedelta(hours=1),
        lease_seconds=60,
    ):
        yield delivery


def make_site(folder: Path) -> Site:
    """A node that tells three systems."""
    make_bundle(
        folder / "bundles" / "tiny",
        classes=(replace(PNEUMONIA, threshold=1e-6),),
        input=InputSpec(size=(64, 64), windowing="percentile"),
    )
    (folder / "node.toml").write_text(CONFIGURATION, encoding="utf-8")
    secret = folder / "hook.secret"
    secret.touch(mode=0o600)
    secret.write_text("s" * 32)
    return Site(folder)
