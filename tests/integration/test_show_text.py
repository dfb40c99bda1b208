"""`studies` and `show` print what a sender wrote as it is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import db.schema
from db import refusals
from db.engine import Database
from dicom_node.cli import main
from dicom_node.core.states import Receipt
from tests.integration.db.samples import enter, received, with_header
from tests.integration.web.studies import (
    REFUSED,
    enter_study,
    fail_delivery,
    finish,
)

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


def test_show_says_why_nothing_was_delivered_and_why_images_were_refused(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "node.toml"
    config.write_text('[node]\ndata_dir = "."\n')
    finish(database, enter_study(database, "2.25.7"), urgency=None)
    fail_delivery(database)
    assert main(["show", "2.25.7", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert "Not delivered: deliveries to 'pacs' were given up" in text
    assert "What to do: mend what the deliveries say" in text
    assert "    sr to pacs: the PACS refused" in text  # whose reason it is
    refusals.record(database, [REFUSED])
    assert main(["show", "2.25.1", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert REFUSED.reason in told
    assert "what to do: correct the image" in told


def test_show_says_of_a_study_of_conflicts_alone_whose_instances_they_are(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "node.toml"
    config.write_text('[node]\ndata_dir = "."\n')
    here = received("2.25.1")
    enter(database, here)
    moved = replace(
        received("2.25.2"), sop_instance_uid=here.sop_instance_uid, file_key="moved"
    )
    assert enter(database, moved).receipt is Receipt.CONFLICT
    assert main(["show", "2.25.2", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert "1 of its instances is kept as a conflict" in told
    assert "study 2.25.1" in told
    assert main(["show", "2.25.1", "--config", str(config)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "instances 1, because it names another Study Instance UID" in told
