"""`studies` and `show` print what a sender wrote as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import db.schema
from db.engine import Database
from dicom_node.cli import main
from tests.integration.db.samples import enter, received, with_header

ACCESSIONS = ["[/bold]A", "[red]A[/red]", "A:smile:B", "[link=x]"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return the database of a node."""
    url = f"sqlite:///{tmp_path}/node.db"
    db.schema.create_if_new(url)
    opened = Database(url)
    yield opened
    opened.close()


@pytest.mark.parametrize("accession", ACCESSIONS)
def test_what_looks_like_markup_in_an_accession_number_is_printed_as_it_is(
    accession: str,
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    enter(database, with_header(received("2.25.1"), accession_number=accession))
    config = tmp_path / "node.toml"
    config.write_text('[node]\ndata_dir = "."\n')
    for command in (["studies"], ["show", "2.25.1"]):
        assert main([*command, "--config", str(config)]) == 0
        assert accession in capsys.readouterr().out
