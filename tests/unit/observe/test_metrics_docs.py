"""docs/operations.md lists the metrics that there are."""

import re
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from db.queries import Backlog, DestinationBacklog
from dicom_node.core.states import WorkState
from dicom_node.observe.exposition import Surroundings, metrics_text
from dicom_node.observe.metrics import ReceiveMetrics, ServeMetrics
from dicom_node.observe.role_metrics import DeliverMetrics, ProxyMetrics, WorkMetrics
from tests.peers import PROJECT


def _documented() -> dict[str, str]:
    text = (PROJECT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(dicom_node_\w+)(?:\{([\w,]+)\})?` \|", text, flags=re.M)
    return dict(rows)


def _exposed(folder: Path) -> dict[str, str]:
    """Return each metric's name and the names of its labels."""
    receive = ReceiveMetrics(folder, ["AINODE"])
    receive.instance_refused(0xA700)
    receive.turned_away("nothing was sent in time", 1)
    receive.certificate_expires(datetime.now(UTC))
    serve = ServeMetrics(folder, ["receive"])
    work = WorkMetrics(folder, ["cxr"])
    deliver = DeliverMetrics(folder, ["pacs"])
    proxy = ProxyMetrics(folder, ["answered"])
    backlog = Backlog(
        receiving=3,
        jobs=dict.fromkeys(WorkState, 0),
        deliveries=dict.fromkeys(WorkState, 0),
        oldest_job_at=None,
        oldest_delivery_at=None,
        destinations={"pacs": DestinationBacklog()},
    )
    surroundings = Surroundings(
        now=datetime.now(UTC),
        version="1",
        free_bytes=1,
        min_free_bytes=1,
        backlog=backlog,
        size_bytes=1,
    )
    text = metrics_text(folder, surroundings).decode()
    for counted in (receive, serve, work, deliver, proxy):
        counted.close()
    found = {}
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = ",".join(sorted(labels - {"le"}))
    return found


def test_every_metric_is_documented_with_its_label_and_no_other(tmp_path: Path) -> None:
    assert _documented() == _exposed(tmp_path)
