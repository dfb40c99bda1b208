"""The timeline on a study's page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db import work
from db.engine import Database
from dicom_node.core.types import Setback
from tests.integration.db.samples import after, claim_delivery
from tests.integration.web.browser import Served, serving_desk
from tests.integration.web.studies import enter_study, finish


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    """A site over an empty database."""
    with serving_desk(database, tmp_path) as running:
        yield running


def test_attempts_that_ended_alike_are_told_by_the_first_and_the_last(
    served: Served,
) -> None:
    database = served.database
    one = enter_study(database, "2.25.1")
    finish(database, one, urgency=None)
    for number in range(50):
        at = 10.0 + number
        setback = Setback(reason="the PACS is away", status=None)
        work.requeue(
            database,
            claim_delivery(database, at=at),
            setback,
            not_before=after(at),
            now=after(at),
        )
    text = served.browser().get("/studies/2.25.1").body.decode()
    assert 2 <= text.count("the PACS is away") <= 3  # the table has it too
    assert "attempt 50 · 48 attempts before it ended alike" in text
