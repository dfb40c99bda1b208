"""One radiograph: from the end of its quiet time to the PACS's 0x0000."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event

from benchmarks.alone import Task
from benchmarks.bare import BareModel
from benchmarks.contest import Contest
from benchmarks.corpus import DX, PLACEHOLDERS, encode_dataset
from benchmarks.models import SHIPPED
from benchmarks.nodes import Node, NodePlan
from benchmarks.pictures import make_picture
from benchmarks.processes import BenchmarkError, wait_for
from benchmarks.results import Verdict
from benchmarks.template import Template

_SUCCESS: Final = 0x0000
_SR_CLASSES: Final = tuple(
    f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in ("11", "22", "33", "34")
)
_PICTURE_CLASS: Final = "1.2.840.10008.5.1.4.1.1.7"
_STUDIES_PER_ROUND: Final = 4
_WANTED_MS: Final = 300.0


@dataclass(slots=True)
class Pacs:
    """A C-STORE SCP that notes when it answered 0x0000.

    Attributes:
        answered: for each report.
        pictured: for each summary picture.
    """

    answered: list[datetime] = field(default_factory=list)
    pictured: list[datetime] = field(default_factory=list)
    port: int = 0

    def on_store(self, event: Event) -> int:
        """Take an object; the time is noted when all of it is here."""
        event.encoded_dataset()
        is_picture = event.request.AffectedSOPClassUID == _PICTURE_CLASS
        noted = self.pictured if is_picture else self.answered
        noted.append(datetime.now(UTC))
        return _SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds from the end of a study's quiet time to the PACS's 0x0000."""

    report: float
    picture: float


def measure(task: Task) -> list[Contest]:
    """Time radiographs of 2500x2048, one after the other, with the shipped model."""
    bare = BareModel(SHIPPED)
    bare.seconds_of_one()
    own: list[float] = []
    took: list[Times] = []
    template = _write_radiograph(Path(task.folder) / "radiograph.template")
    with running_pacs() as pacs:
        plan = NodePlan(
            folder=Path(task.folder) / "node",
            models=SHIPPED.parent,
            model=SHIPPED.name,
            quiet_seconds=1.0,
            pacs_port=pacs.port,
        )
        with Node(plan) as node:
            _time_study(node, pacs, template)  # the first waits for the model
            for _ in range(task.rounds * _STUDIES_PER_ROUND):
                took.append(_time_study(node, pacs, template))
                own.append(bare.seconds_of_one())
    return [_contest(took, own, len(task.cores))]


@contextmanager
def running_pacs() -> Iterator[Pacs]:
    """Run a PACS for reports and summary pictures on a free port."""
    pacs, entity = Pacs(), AE(ae_title="PACS")
    for uid in (*_SR_CLASSES, _PICTURE_CLASS):
        entity.add_supported_context(uid)
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, pacs.on_store)]
    )
    if server is None:
        raise BenchmarkError("no PACS could be started")
    try:
        pacs.port = server.server_address[1]
        yield pacs
    finally:
        server.shutdown()


def _time_study(node: Node, pacs: Pacs, template: str) -> Times:
    """Send one study and wait for both of its objects, so that the next finds rest."""
    had, had_pictures = len(pacs.answered), len(pacs.pictured)
    node.send((template,), images=1, studies=1)
    wait_for(lambda: len(pacs.answered) > had, what="the PACS has the report")
    wait_for(lambda: len(pacs.pictured) > had_pictures, what="the PACS has the picture")
    quiet_end = node.last_quiet_end()
    return Times(
        report=(pacs.answered[had] - quiet_end).total_seconds(),
        picture=(pacs.pictured[had_pictures] - quiet_end).total_seconds(),
    )


def _write_radiograph(path: Path) -> str:
    """Write a frontal chest radiograph within the scope of the shipped model."""
    made: Dataset = make_picture(DX, 1)
    made.ViewPosition, made.BodyPartExamined, made.PatientAge = "PA", "CHEST", "003Y"
    template = Template.of(
        encode_dataset(made), sop_class_uid=DX.sop_class_uid, placeholders=PLACEHOLDERS
    )
    return str(template.save(path))


def _contest(times: list[Times], own: list[float], cores: int) -> Contest:
    took = [one.report for one in times]
    pictures = statistics.median(one.picture for one in times)
    median, model = statistics.median(took), statistics.median(own)
    added = 1000 * (median - model)
    return Contest(
        title=f"{DX.title}, end of the quiet time to the PACS's 0x0000, {cores} cores",
        figures=[
            Verdict(
                what="one radiograph: beside the model's own time, p50",
                wanted=_WANTED_MS,
                measured=added,
                unit="ms",
                at_most=True,
            )
        ],
        remarks=[
            f"p50 {1000 * median:.0f} ms, lowest {1000 * min(took):.0f} ms, highest "
            f"{1000 * max(took):.0f} ms of {len(took)} studies; the summary picture "
            f"follows at {1000 * pictures:.0f} ms (p50); the model alone takes "
            f"{1000 * model:.0f} ms for one image (p50 of the fastest of "
            "three). Default settings but for the quiet time; the PACS is a pynetdicom "
            "SCP on the same machine."
        ],
    )
