"""The proxy as the role wires it: who is let in, and what `check` says of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from db import schema
from db.engine import Database
from dicom_node.cli import main
from dicom_node.proxying import build_proxy, proxy_metrics
from tests.certificates import Authority, Wanted
from tests.integration.worklist.stations import ask, hospital, question
from tests.integration.worklist.test_proxy_tls import Keys as Keys
from tests.integration.worklist.test_proxy_tls import keys as keys
from tests.integration.worklist.test_proxy_tls import one_order, serving
from tests.peers import free_port, run_tool


@contextmanager
def wired(
    folder: Path, upstream_port: int, peers: list[dict[str, str]], **proxy: Any
) -> Iterator[int]:
    """Serve the proxy of these settings; give its port."""
    settings = Settings.model_validate(
        {
            "node": {"data_dir": folder},
            "peers": peers,
            "worklist": {
                "proxy": {
                    "port": 0,
                    "upstream_host": "127.0.0.1",
                    "upstream_port": upstream_port,
                    "upstream_ae_title": "WORKLIST",
                    **proxy,
                }
            },
        }
    )
    url = f"sqlite:///{folder / 'node.db'}"
    schema.create_if_new(url)
    database = Database(url)
    settings.metrics_dir.mkdir(parents=True)
    metrics = proxy_metrics(settings)
    served = build_proxy(settings, database, metrics)
    try:
        yield int(served.start().rpartition(":")[2])
    finally:
        served.drain(0.0)
        metrics.close()
        database.close()


@pytest.mark.parametrize(("title", "count"), [("READER", 1), ("ANOTHER", 0)])
def test_a_caller_is_let_in_by_its_ae_title(
    tmp_path: Path, title: str, count: int
) -> None:
    peers = [{"ae_title": title}]
    with hospital(one_order) as port, wired(tmp_path, port, peers) as proxy:
        assert len(ask(proxy, question())[0]) == count


@pytest.mark.parametrize(("subject", "welcome"), [("CN=reader", True), ("CN=x", False)])
def test_a_caller_is_let_in_by_its_certificate(
    tmp_path: Path, keys: Keys, subject: str, welcome: bool
) -> None:
    peers = [{"ae_title": "FINDSCU", "certificate_subject": subject}]
    tls = keys.port()
    with hospital(one_order) as port, wired(tmp_path, port, peers, **tls) as proxy:
        found = run_tool(
            *("findscu", "-W", "-aec", "AIWORKLIST"),
            *("+tls", keys.reader.key, keys.reader.certificate),
            *("+cf", keys.authority.certificate, "-k", "AccessionNumber"),
            *("localhost", str(proxy)),
        )
    assert (found.returncode == 0) is welcome, found.stdout


def _check(
    folder: Path, capsys: pytest.CaptureFixture[str], *lines: str
) -> dict[str, tuple[bool, str]]:
    file = folder / "node.toml"
    head = ["[node]", f"port = {free_port()}", "[worklist.proxy]", "port = 0"]
    file.write_text("\n".join([*head, *lines]), encoding="utf-8")
    main(["check", "--config", str(file), "--json"])
    found = json.loads(capsys.readouterr().out)["checks"]
    return {item["what"]: (item["good"], item["detail"]) for item in found}


def test_check_calls_the_hospital_over_tls_and_looks_at_certificates(
    tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Authority(tmp_path / "old").issue("old", Wanted(days=3))
    with hospital(one_order, tls=serving(keys)) as port:
        lines = (
            'upstream_host = "localhost"',
            f"upstream_port = {port}",
            'upstream_ae_title = "WORKLIST"',
            'calling_ae_title = "AINODE"',
            "upstream_tls = true",
            f'upstream_ca = "{keys.authority.certificate}"',
            "tls = true",
            'client_certificate = "none"',
            f'certificate = "{old.certificate}"',
            f'private_key = "{old.key}"',
        )
        own = (
            f'upstream_certificate = "{keys.proxy.certificate}"',
            f'upstream_private_key = "{keys.proxy.key}"',
        )
        found = _check(tmp_path, capsys, *lines, *own)
        refused = _check(tmp_path, capsys, *lines)["the hospital's worklist"]
    assert found["the hospital's worklist"][0]
    assert "takes queries of AINODE" in found["the hospital's worklist"][1]
    assert found["worklist proxy's certificate upstream"][0]
    assert not found["worklist proxy's TLS"][0]
    assert "worklist.proxy.certificate" in found["worklist proxy's TLS"][1]
    assert "expires" in found["worklist proxy's TLS"][1]
    assert not refused[0]
