"""`check` finds what would keep the node from starting."""

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest

from dicom_node.cli import main
from dicom_node.observe.slots import Slot
from tests.integration.prove.archive import Habits, running_archive
from tests.peers import free_port


def _look(
    capsys: pytest.CaptureFixture[str], folder: Path, table: str
) -> dict[str, dict[str, object]]:
    file = folder / "node.toml"
    file.write_text(f"[node]\n{table}\n", encoding="utf-8")
    assert main(["check", "--config", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["checks"]
    return {item["what"]: item for item in found}


def test_a_port_is_free_or_in_use_and_both_may_be_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = _look(capsys, tmp_path, f"port = {free_port()}")
    assert free["port"]["good"] is True
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        table = f"port = {other.getsockname()[1]}"
        stranger = _look(capsys, tmp_path, table)
        with closing(Slot(tmp_path / "data/run/metrics", "receive")):
            taken = _look(capsys, tmp_path, table)
    assert taken["port"]["good"] is True
    assert "in use" in str(taken["port"]["detail"])
    assert stranger["port"]["good"] is False
    assert "stop the other program" in str(stranger["port"]["detail"])


def test_a_host_that_is_not_this_machine_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 192.0.2.0/24 is nobody's: RFC 5737
    peers = '[[peers]]\nae_title = "ANY"'
    found = _look(capsys, tmp_path, f'host = "192.0.2.1"\n{peers}')
    assert found["port"]["good"] is False
    assert "node.host" in str(found["port"]["detail"])


def test_a_data_folder_that_cannot_be_made_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("a file")
    found = _look(capsys, tmp_path, 'data_dir = "data/node"')
    assert found["disk"]["good"] is False
    assert "node.data_dir" in str(found["disk"]["detail"])


def test_what_this_user_may_not_look_at_is_wrong_and_the_rest_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A name that no file system takes fails for root as well, as rights do for others.
    found = _look(capsys, tmp_path, f'data_dir = "{"n" * 300}"')
    for what in ("disk", "database"):
        assert found[what]["good"] is False
        assert "as the user that the node runs as" in str(found[what]["detail"])
    assert found["codecs"]["good"] is True


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("threads = 1", "cpu, 1 thread,"),
        ("threads = 3", "cpu, 3 threads,"),
        ("threads = 1\nworkers = 2", "2 workers, the first on cpu, 1 thread,"),
    ],
)
def test_the_device_is_told_with_the_threads_that_are_configured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], models: str, said: str
) -> None:
    table = f'port = {free_port()}\n[models]\ndevice = "cpu"\n{models}'
    found = _look(capsys, tmp_path, table)
    assert str(found["device"]["detail"]).startswith(said)


def test_a_destination_is_asked_for_everything_that_it_could_be_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_archive(Habits(queries=False)) as archive:
        table = f"""port = {free_port()}
            [[destinations]]
            name = "pacs"
            ae_title = "PACS"
            host = "127.0.0.1"
            port = {archive.port}
            objects = ["sr", "kos"]
            commitment = "wanted"
        """
        found = _look(capsys, tmp_path, table)["destination 'pacs'"]
        main(["check", "--config", str(tmp_path / "node.toml")])
    assert found["good"] is False
    assert "take 'kos' out of objects of destination 'pacs'" in str(found["detail"])
    offers = found["offers"]
    assert isinstance(offers, list)
    taken = {offer["kind"]: bool(offer["syntaxes"]) for offer in offers}
    assert taken == {
        "sr": True,
        "sc": True,
        "kos": False,
        "commitment": True,
        "c-find": False,
    }
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if "Key Object Selection" in line[:60])
    assert line.split()[-2:] == ["MISSING", "refused"]


DOWN = {
    "stow": 'url = "http://127.0.0.1:{port}/dicom-web"',
    "hl7": 'host = "127.0.0.1"\nport = {port}',
    "fhir": 'url = "http://127.0.0.1:{port}/fhir"',
    "webhook": 'url = "http://127.0.0.1:{port}/hook"\nsecret_file = "hook.secret"',
}


@pytest.mark.parametrize("kind", sorted(DOWN))
def test_every_kind_of_destination_that_is_down_is_wrong_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    secret = tmp_path / "hook.secret"
    secret.touch(mode=0o600)
    secret.write_text("s" * 32)
    address = DOWN[kind].format(port=free_port())
    table = f"""port = {free_port()}
        [[destinations]]
        name = "there"
        kind = "{kind}"
        {address}
    """
    found = _look(capsys, tmp_path, table)["destination 'there'"]
    assert found["good"] is False
    assert "cannot be reached" in str(found["detail"])
    assert "check" in str(found["detail"])


def test_a_receiver_of_messages_is_called_and_gets_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "hook.secret"
    secret.touch(mode=0o600)
    secret.write_text("s" * 32)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for kind in ("hl7", "webhook"):
            table = f"""port = {free_port()}
                [[destinations]]
                name = "there"
                kind = "{kind}"
                {DOWN[kind].format(port=port)}
            """
            found = _look(capsys, tmp_path, table)["destination 'there'"]
            assert found["good"] is True
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1) == b""
