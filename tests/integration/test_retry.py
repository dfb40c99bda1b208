"""`retry` sends what failed, and on wish what was delivered, once more."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import db.audit
import db.queries
import db.schema
from db import work
from db.engine import Database
from dicom_node.cli import main
from dicom_node.core.types import Setback
from tests.integration.db.samples import (
    REFUSED,
    SENT,
    after,
    claim_delivery,
    queue_delivery,
)

STUDY = "1.2.3"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of a node with two destinations."""
    file = tmp_path / "node.toml"
    folders = "".join(
        f'[[destinations]]\nname = "{name}"\nkind = "folder"\nfolder = "{name}"\n'
        for name in ("pacs", "archive")
    )
    file.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/node.db"\n{folders}')
    db.schema.create_if_new(f"sqlite:///{tmp_path}/node.db")
    return file


@pytest.fixture
def database(config: Path) -> Iterator[Database]:
    """Open its database."""
    opened = Database(f"sqlite:///{config.parent}/node.db")
    yield opened
    opened.close()


def _retry(config: Path, *arguments: str) -> int:
    return main(["retry", "--config", str(config), *arguments])


def test_an_unknown_destination_is_refused_with_the_names_there_are(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _retry(config, "--destination", "pasc") == 2
    assert "there are pacs, archive" in capsys.readouterr().err


def test_all_dead_letters_of_a_destination_are_put_back(
    config: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_delivery(database)
    work.fail(database, claim_delivery(database), REFUSED, now=after(11))
    assert _retry(config, "--destination", "archive", "--json") == 0
    assert json.loads(capsys.readouterr().out)["deliveries"] == 0
    assert _retry(config, "--destination", "pacs", "--json") == 0
    assert json.loads(capsys.readouterr().out)["deliveries"] == 1


def test_what_waits_for_another_attempt_goes_at_once(
    config: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_delivery(database)
    work.requeue(
        database,
        claim_delivery(database),
        REFUSED,
        not_before=after(10**10),
        now=after(11),
    )
    assert _retry(config, "--destination", "archive", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hurried"] == 0
    assert _retry(config, STUDY) == 0
    assert "1 deliveries that waited" in capsys.readouterr().out
    found = work.claim_delivery(database, owner="w", now=after(10**9), lease_seconds=60)
    assert found is not None
    assert found.attempt == 2


def test_what_was_delivered_is_sent_again_as_the_same_object(
    config: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_delivery(database)
    assert _retry(config, STUDY, "--delivered") == 0
    assert "only what was delivered can be sent again" in capsys.readouterr().out
    first = claim_delivery(database)
    work.settle_delivery(database, first, SENT, now=after(11))
    assert _retry(config, STUDY, "--delivered", "--destination", "archive") == 0
    assert _retry(config, STUDY, "--delivered", "--json") == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{") :]) == {"deliveries": 1, "refused": []}
    found = work.claim_delivery(database, owner="w", now=after(10**9), lease_seconds=60)
    assert found is not None
    assert (found.delivery_id, found.chosen) == (
        first.delivery_id,
        SENT.sop_instance_uid,
    )
    assert found.reports == first.reports
    [(_, entry), *_] = db.audit.latest(database, limit=3)
    assert (entry.who, entry.action) == ("command line", "sent again")


def test_what_fails_when_it_is_sent_again_does_not_show_the_success_of_before(
    config: Path, database: Database
) -> None:
    queue_delivery(database)
    work.settle_delivery(database, claim_delivery(database), SENT, now=after(11))
    assert _retry(config, STUDY, "--delivered") == 0
    again = work.claim_delivery(database, owner="w", now=after(10**9), lease_seconds=60)
    assert again is not None
    work.fail(database, again, Setback(reason="the RIS refuses it"), now=after(10**9))
    [story] = db.queries.timeline(database, STUDY)
    [job] = story.jobs
    [delivery] = job.summary["deliveries"]
    assert delivery["status"] is None


def test_delivered_asks_for_a_study(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _retry(config, "--delivered") == 2
    assert "name the study" in capsys.readouterr().err
