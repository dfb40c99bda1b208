"""`check` finds what would keep callers out, or the node from calling over TLS."""

import json
from pathlib import Path

import pytest

from dicom_node.cli import main
from tests.certificates import Authority, Wanted, new_key, write_key
from tests.peers import free_port


def look(
    capsys: pytest.CaptureFixture[str], folder: Path, tables: str
) -> dict[str, tuple[bool, str]]:
    """Return (good, detail) of everything that was looked at."""
    file = folder / "node.toml"
    file.write_text(f"[node]\nport = {free_port()}\n{tables}\n", encoding="utf-8")
    main(["check", "--config", str(file), "--json"])
    found = json.loads(capsys.readouterr().out)["checks"]
    return {item["what"]: (item["good"], item["detail"]) for item in found}


def tls_table(**changed: str) -> str:
    keys = {
        "port": str(free_port()),
        "certificate": '"node.pem"',
        "private_key": '"node.key"',
        "ca": '"ca.pem"',
        **changed,
    }
    return "[tls]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def test_tls_files_that_fit_are_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Authority(tmp_path).issue("node", Wanted(days=100))
    found = look(capsys, tmp_path, tls_table())
    good, detail = found["TLS"]
    assert good, detail
    assert "99 days" in detail
    assert found["TLS port"][0]


@pytest.mark.parametrize(
    ("days", "said"), [(-1, "has expired"), (12.5, "expires in 12 days")]
)
def test_a_certificate_near_or_past_its_end_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: float, said: str
) -> None:
    Authority(tmp_path).issue("node", Wanted(days=days))
    good, detail = look(capsys, tmp_path, tls_table())["TLS"]
    assert not good
    assert said in detail


def test_a_key_of_another_certificate_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_key(Authority(tmp_path).issue("node").key, new_key())
    good, detail = look(capsys, tmp_path, tls_table())["TLS"]
    assert not good
    assert "not the key of certificate" in detail


def test_a_key_or_passcode_that_others_may_read_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Authority(tmp_path).issue("node").key.chmod(0o640)
    (tmp_path / "ct1.code").write_text("open sesame")
    (tmp_path / "ct1.code").chmod(0o604)
    peer = '[[peers]]\nae_title = "CT1"\nusername = "ct1"\npasscode_file = "ct1.code"\n'
    found = look(capsys, tmp_path, tls_table() + peer)
    for what in ("TLS", "passcode of peer 'CT1'"):
        good, detail = found[what]
        assert not good
        assert "chmod 600" in detail
        assert "sesame" not in detail


def test_names_of_hosts_and_sop_classes_are_looked_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = (
        '[[peers]]\nae_title = "A"\nhost = "localhost"\n'
        '[[peers]]\nae_title = "B"\nhost = "no-such-host.invalid"\n'
        '[[called]]\nae_title = "C"\nsop_classes = ["CT Image Storage"]\n'
        '[[called]]\nae_title = "D"\nsop_classes = ["CT Immage Storage"]\n'
    )
    found = look(capsys, tmp_path, tables)
    assert found["host of peer 'A'"][0]
    assert not found["host of peer 'B'"][0]
    assert found["called AE title 'C'"][0]
    good, detail = found["called AE title 'D'"]
    assert not good
    assert "CT Immage Storage" in detail


def test_our_own_certificate_for_a_destination_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Authority(tmp_path).issue("node", Wanted(days=3))
    destination = (
        '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {free_port()}\ntimeout_seconds = 2\ntls = true\n"
        'ca = "ca.pem"\ncertificate = "node.pem"\nprivate_key = "node.key"\n'
    )
    found = look(capsys, tmp_path, destination)
    good, detail = found["TLS certificate for destination 'pacs'"]
    assert not good
    assert "expires in 2 days" in detail
    assert "nothing listens there" in found["destination 'pacs'"][1]


def test_without_a_plain_port_only_the_tls_port_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Authority(tmp_path).issue("node")
    found = look(capsys, tmp_path, "plain = false\n" + tls_table())
    assert "port" not in found
    assert found["TLS port"][0]
