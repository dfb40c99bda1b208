"""The configurations that the demo writes and prints."""

import tomllib
from pathlib import Path

from config.load import load
from dicom_node.demo.node import (
    demo_configuration,
    example_configuration,
    last_words,
)


def test_the_demos_configuration_is_one_that_the_node_takes(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    text = demo_configuration(
        port=4711, web_port=4713, pacs_ae_title="DEMOPACS", pacs_port=4712
    )
    file.write_text(text)

    settings = load(file, {}).settings

    assert settings.node.port == 4711
    assert settings.loopback_only
    assert settings.database.url == f"sqlite:///{tmp_path / 'data' / 'node.db'}"
    (pacs,) = settings.destinations
    assert (pacs.ae_title, pacs.host, pacs.port) == ("DEMOPACS", "127.0.0.1", 4712)
    assert settings.routes[0].destinations == ("pacs",)


def test_the_printed_example_is_complete_and_short(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(example_configuration())

    settings = load(file, {}).settings

    assert settings.node.port == 11112
    assert [peer.ae_title for peer in settings.peers] == ["YOURPACS"]
    statements = [
        line
        for line in example_configuration().splitlines()
        if line and not line.startswith(("#", "["))
    ]
    assert len(statements) <= 20
    assert len(tomllib.loads(example_configuration())) == 7


def test_the_last_words_of_a_log_are_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "node.log"

    assert str(log) in last_words(log)
    log.write_text("one\ntwo\n\n")
    assert last_words(log) == "two"
