"""The Grafana dashboard asks for metrics that a node really has."""

import dataclasses
import json
import re
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import NodeSettings
from tests.peers import PROJECT, StoreScp, free_port, wait_until

_METRIC = re.compile(r"\bdicom_node_\w+")
_BY = re.compile(r"\bby \(([^)]*)\)")
_SELECTED = re.compile(r"(dicom_node_\w+)\{([^}]*)\}")
_SHOWN = re.compile(r"\{\{(\w+)\}\}")


def _targets() -> list[tuple[str, str]]:
    """Return each query of the dashboard with its legend."""
    file = PROJECT / "deploy" / "grafana-dashboard.json"
    panels = json.loads(file.read_text())["panels"]
    return [
        (target["expr"], target["legendFormat"])
        for panel in panels
        for target in panel.get("targets", [])
    ]


def _labels(expression: str, legend: str) -> set[str]:
    """Return the names of the labels that a query needs."""
    grouped = {
        name.strip() for group in _BY.findall(expression) for name in group.split(",")
    }
    selected = {
        re.split("[=!~]", part)[0].strip()
        for _, inside in _SELECTED.findall(expression)
        for part in inside.split(",")
    }
    return (grouped | selected | set(_SHOWN.findall(legend))) - {""}


def test_every_metric_and_label_of_the_dashboard_is_there_after_a_real_run(
    settings: NodeSettings, start_node: StartNode, storescp: StoreScp
) -> None:
    web, proxy = free_port(), free_port()
    extra = (
        f"\n[web]\nport = {web}\n"
        f'[worklist.proxy]\nport = {proxy}\nupstream_host = "127.0.0.1"\n'
        f'upstream_port = {free_port()}\nupstream_ae_title = "RIS"\n'
    )
    node = start_node(
        dataclasses.replace(
            settings, extra=extra, destinations=[("pacs", storescp.address)]
        )
    )
    Sender(node.address).send([make_radiograph(new_study_uid())])
    wait_until(storescp.files, what="the report is delivered")

    def series() -> dict[str, set[str]] | None:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{web}/metrics", timeout=20
        ) as answer:
            text = answer.read().decode()
        found: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found if "dicom_node_dead_letters" in found else None

    there = wait_until(series, what="the delivery is counted")
    # Nobody was refused or turned away, which are counted once it happens.
    there.setdefault("dicom_node_refused_instances_total", {"status"})
    there.setdefault("dicom_node_connections_turned_away_total", {"reason"})
    missing = []
    for expression, legend in _targets():
        names = set(_METRIC.findall(expression))
        assert names, expression
        for name in names:
            if name not in there:
                missing.append(name)
            elif len(names) == 1 and not _labels(expression, legend) <= there[name]:
                missing.append(f"{name} {_labels(expression, legend)}")
    assert missing == []
