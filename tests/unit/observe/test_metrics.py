"""What a receiver counts and how Prometheus reads it."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from db.queries import Backlog
from dicom_node.core.states import WorkState
from dicom_node.observe.exposition import Surroundings, metrics_text
from dicom_node.observe.metrics import ReceiveMetrics, ServeMetrics
from dicom_node.observe.slots import read_slots

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Sample = tuple[str, frozenset[tuple[str, str]]]


def _surroundings(backlog: Backlog | None = None, free: int | None = 5) -> Surroundings:
    return Surroundings(
        now=NOW, version="1.2.3", free_bytes=free, min_free_bytes=10, backlog=backlog
    )


def _read(
    folder: Path, surroundings: Surroundings | None = None
) -> dict[Sample, float]:
    """Read the exposition with Prometheus's own parser."""
    text = metrics_text(folder, surroundings or _surroundings()).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _key(name: str, **labels: str) -> Sample:
    return f"dicom_node_{name}", frozenset(labels.items())


def test_stored_instances_are_counted_by_called_ae_title(tmp_path: Path) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE", "AI CHEST"])
    metrics.instance_stored("AINODE", 100, 0.002)
    metrics.instance_stored("AI CHEST", 50, 0.02)
    metrics.instance_stored("AI CHEST", 50, 300)
    found = _read(tmp_path)
    assert found[_key("received_instances_total", called_ae="AINODE")] == 1
    assert found[_key("received_instances_total", called_ae="AI CHEST")] == 2
    assert found[_key("received_bytes_total", called_ae="AI CHEST")] == 100
    assert found[_key("store_seconds_bucket", le="0.001")] == 0
    assert found[_key("store_seconds_bucket", le="0.0025")] == 1
    assert found[_key("store_seconds_bucket", le="0.025")] == 2
    assert found[_key("store_seconds_bucket", le="60")] == 2
    assert found[_key("store_seconds_bucket", le="+Inf")] == 3
    assert found[_key("store_seconds_count")] == 3
    assert found[_key("store_seconds_sum")] == pytest.approx(300.022)
    metrics.close()


def test_a_title_that_is_not_configured_makes_no_label(tmp_path: Path) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    metrics.instance_stored('EVIL"} 1', 7, 0.1)
    found = _read(tmp_path)
    assert found[_key("received_bytes_total", called_ae="other")] == 7
    assert not any("EVIL" in str(key) for key in found)
    metrics.close()


def test_refusals_are_counted_by_status(tmp_path: Path) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    for status in (0xA700, 0xA700, 0xC000, 0x0122):
        metrics.instance_refused(status)
    found = _read(tmp_path)
    assert found[_key("refused_instances_total", status="0xA700")] == 2
    assert found[_key("refused_instances_total", status="0xC000")] == 1
    assert found[_key("refused_instances_total", status="0x0122")] == 1
    metrics.close()


def test_open_associations_rise_and_fall_and_rejected_ones_never_opened(
    tmp_path: Path,
) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    metrics.association_opened()
    metrics.association_opened()
    metrics.association_ended("aborted")
    metrics.association_ended("rejected")
    found = _read(tmp_path)
    assert found[_key("associations_open")] == 1
    assert found[_key("associations_total", outcome="aborted")] == 1
    assert found[_key("associations_total", outcome="rejected")] == 1
    assert found[_key("associations_total", outcome="released")] == 0
    metrics.close()


def test_commits_are_counted_by_size_and_duration(tmp_path: Path) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    metrics.committed(1, 0.0004)
    metrics.committed(8, 0.003)
    found = _read(tmp_path)
    assert found[_key("commit_group_size_bucket", le="1")] == 1
    assert found[_key("commit_group_size_bucket", le="8")] == 2
    assert found[_key("commit_group_size_sum")] == 9
    assert found[_key("commit_seconds_bucket", le="0.0005")] == 1
    assert found[_key("commit_seconds_bucket", le="0.005")] == 2
    metrics.close()


def test_failing_storage_shows_until_a_commit_succeeds(tmp_path: Path) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    metrics.storage_failed()
    assert _read(tmp_path)[_key("storage_failing")] == 1
    metrics.committed(1, 0.001)
    found = _read(tmp_path)
    assert found[_key("storage_failing")] == 0
    assert found[_key("storage_errors_total")] == 1
    metrics.close()


@dataclass(frozen=True)
class _Report:
    parts_removed: int = 1
    adopted: int = 2
    quarantined: int = 3
    missing: int = 4


def test_reconciling_is_counted(tmp_path: Path) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    metrics.reconciled(_Report())
    found = _read(tmp_path)
    assert [
        found[_key(f"reconcile_{what}_total")]
        for what in ("parts_removed", "adopted", "quarantined", "missing")
    ] == [1, 2, 3, 4]
    metrics.close()


def test_processes_are_summed_and_the_dead_have_no_open_associations(
    tmp_path: Path,
) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    metrics.instance_stored("AINODE", 1, 0.1)
    metrics.association_opened()
    pid = os.fork()
    if pid == 0:  # inherits the parent's metrics and must not count in its slot
        metrics.instance_stored("AINODE", 10, 0.1)
        metrics.association_opened()
        os._exit(0)
    os.waitpid(pid, 0)
    found = _read(tmp_path)
    assert len(read_slots(tmp_path)) == 2
    assert found[_key("received_bytes_total", called_ae="AINODE")] == 11
    assert found[_key("received_instances_total", called_ae="AINODE")] == 2
    assert found[_key("associations_open")] == 1
    metrics.close()


def test_restarts_survive_the_supervisor(tmp_path: Path) -> None:
    for _ in range(2):
        metrics = ServeMetrics(tmp_path, ["receive", "work"])
        metrics.restarted("receive")
        metrics.close()
    found = _read(tmp_path)
    assert found[_key("role_restarts_total", role="receive")] == 2
    assert found[_key("role_restarts_total", role="work")] == 0


def test_disk_and_database_are_shown_as_they_are_now(tmp_path: Path) -> None:
    found = _read(tmp_path, _surroundings(free=9))
    assert found[_key("disk_free_bytes")] == 9
    assert found[_key("disk_low")] == 1
    assert found[_key("database_up")] == 0
    assert _key("jobs", state="QUEUED") not in found
    assert _read(tmp_path, _surroundings(free=10))[_key("disk_low")] == 0
    assert _key("disk_low") not in _read(tmp_path, _surroundings(free=None))


def test_the_backlog_is_shown_by_state_and_age(tmp_path: Path) -> None:
    backlog = Backlog(
        receiving=3,
        jobs={**dict.fromkeys(WorkState, 0), WorkState.QUEUED: 4},
        deliveries={**dict.fromkeys(WorkState, 0), WorkState.FAILED: 2},
        oldest_job_at=NOW - timedelta(minutes=2),
        oldest_delivery_at=None,
    )
    found = _read(tmp_path, _surroundings(backlog))
    assert found[_key("database_up")] == 1
    assert found[_key("studies_receiving")] == 3
    assert found[_key("jobs", state="QUEUED")] == 4
    assert found[_key("deliveries", state="FAILED")] == 2
    assert found[_key("oldest_queued_job_seconds")] == 120
    assert found[_key("oldest_queued_delivery_seconds")] == 0


def test_a_clock_that_went_back_gives_no_negative_age(tmp_path: Path) -> None:
    backlog = Backlog(
        receiving=0,
        jobs={},
        deliveries={},
        oldest_job_at=NOW + timedelta(hours=1),
        oldest_delivery_at=None,
    )
    assert (
        _read(tmp_path, _surroundings(backlog))[_key("oldest_queued_job_seconds")] == 0
    )


def test_the_certificate_that_expires_first_is_the_one_told(tmp_path: Path) -> None:
    first, second = (ReceiveMetrics(tmp_path, ["AINODE"]) for _ in range(2))
    assert _key("tls_certificate_expires_seconds") not in _read(tmp_path)
    first.certificate_expires(NOW + timedelta(days=30))
    second.certificate_expires(NOW - timedelta(hours=1))
    found = _read(tmp_path)
    assert found[_key("tls_certificate_expires_seconds")] == -3600
    second.close()
    found = _read(tmp_path)
    assert found[_key("tls_certificate_expires_seconds")] == 30 * 86400
    first.close()


def test_connections_turned_away_are_counted_by_reason(tmp_path: Path) -> None:
    metrics = ReceiveMetrics(tmp_path, ["AINODE"])
    for count in (3, 0, 2):
        metrics.turned_away("the TLS handshake failed", count)
    metrics.congested(True)
    found = _read(tmp_path)
    away = _key("connections_turned_away_total", reason="the TLS handshake failed")
    assert found[away] == 5
    assert found[_key("congested")] == 1
    metrics.congested(False)
    assert _read(tmp_path)[_key("congested")] == 0
    metrics.close()
