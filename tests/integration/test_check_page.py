"""`check` says whether the page can be served, and to whom."""

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest

from dicom_node.cli import main
from dicom_node.observe.slots import Slot
from tests.certificates import Authority, Wanted
from tests.peers import free_port

TEXT = "0123456789abcdef" * 2


def look(
    capsys: pytest.CaptureFixture[str], folder: Path, *lines: str
) -> dict[str, tuple[bool, str]]:
    """Return (good, detail) of everything about the page, by name."""
    file = folder / "node.toml"
    table = ["[node]", f"port = {free_port()}", "[web]", *lines]
    file.write_text("\n".join(table), encoding="utf-8")
    main(["check", "--config", str(file), "--json"])
    found = json.loads(capsys.readouterr().out)["checks"]
    return {
        item["what"]: (item["good"], item["detail"])
        for item in found
        if item["what"].startswith("page")
    }


def test_a_page_that_is_off_is_not_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert look(capsys, tmp_path, "port = 0") == {}


def test_the_page_s_port_is_free_or_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with closing(Slot(tmp_path / "data/run/metrics", "receive")):
            good, detail = look(capsys, tmp_path, f"port = {port}")["page"]
    assert good
    assert "in use" in detail
    assert "web.port" in detail
    good, detail = look(capsys, tmp_path, f"port = {free_port()}")["page"]
    assert good
    assert "is free" in detail


def test_a_host_that_is_not_this_machine_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TEXT)
    # 192.0.2.0/24 is nobody's: RFC 5737
    found = look(
        capsys,
        tmp_path,
        f"port = {free_port()}",
        'host = "192.0.2.1"',
        'token_file = "token"',
    )
    assert not found["page"][0]
    assert "web.host" in found["page"][1]
    assert found["page's token"][0]
    assert not found["page's logins"][0]
    assert "dicom-node users add" in found["page's logins"][1]


@pytest.mark.parametrize(
    ("days", "words"), [(90, "good for 89 days"), (5, "expires"), (-1, "has expired")]
)
def test_the_page_s_certificate_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int, words: str
) -> None:
    pair = Authority(tmp_path / "page").issue("page", Wanted(days=days))
    found = look(
        capsys,
        tmp_path,
        f"port = {free_port()}",
        f'certificate = "{pair.certificate}"',
        f'private_key = "{pair.key}"',
    )
    good, detail = found["page's certificate"]
    assert good is (days == 90)
    assert words in detail


def test_a_token_or_key_that_others_may_read_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = Authority(tmp_path / "page").issue("page")
    pair.key.chmod(0o644)
    token = tmp_path / "token"
    token.write_text(TEXT)
    token.chmod(0o644)
    found = look(
        capsys,
        tmp_path,
        f"port = {free_port()}",
        'token_file = "token"',
        f'certificate = "{pair.certificate}"',
        f'private_key = "{pair.key}"',
    )
    for what in ("page's certificate", "page's token"):
        assert not found[what][0]
        assert "chmod 600" in found[what][1] or "others" in found[what][1]
