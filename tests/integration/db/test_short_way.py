"""The short way and the complete way into the tables leave the same behind."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import select

from db import studies
from db.direct import Arrival, Direct
from db.engine import Database
from db.tables import instances, metadata, versions
from db.tables import studies as study_table
from dicom_node.core.states import StudyState
from dicom_node.core.types import ReceivedInstance, Recorded
from tests.integration.db import samples
from tests.integration.db.samples import after, enter_all, received


class LongWay(Direct):
    """Takes nothing, so that everything goes the complete way."""

    def enter(self, arrivals: Sequence[Arrival], *, durable: bool) -> None:
        return None

    def enter_within(self, connection: object, arrivals: Sequence[Arrival]) -> None:
        return None

    def close(self) -> None:
        pass


def _rows(database: Database) -> list[tuple[object, ...]]:
    """Return everything that is kept, without the ids."""
    columns = (
        study_table.c.study_instance_uid.label("of_study"),
        *(c for c in study_table.c if c.name not in {"id", "study_instance_uid"}),
        *(c for c in instances.c if c.name not in {"id", "study_id"}),
        *(c for c in versions.c if c.name not in {"id", "instance_id"}),
    )
    query = (
        select(*(c.label(f"c{n}") for n, c in enumerate(columns)))
        .join_from(study_table, instances)
        .join(versions)
        .order_by(instances.c.sop_instance_uid, versions.c.id)
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _story(seed: int) -> list[list[ReceivedInstance] | int]:
    """Return groups of instances; a number settles that study in between."""
    chance = random.Random(seed)
    story: list[list[ReceivedInstance] | int] = []
    for moment in range(14):
        if chance.random() < 0.25:
            story.append(chance.randrange(1, 4))
        group = []
        for _ in range(chance.choice((1, 1, 2, 5))):
            item = received(
                f"1.{chance.randrange(1, 4)}",
                chance.randrange(1, 12),
                at=after(moment),
                data=chance.choice(("", "", "", "coerced")),
                pixels=chance.choice(("pixels", "pixels", "pixels", "other")),
            )
            item = replace(
                item,
                called_ae_title=chance.choice(("AINODE", "AICHEST")),
                sop_class_uid=chance.choice((samples.CR, samples.COMPREHENSIVE)),
            )
            accession = chance.choice(("", "A1", "A2", "예약"))
            maker = chance.choice(("", "", "dicom-node"))
            group.append(
                samples.with_header(
                    item, accession_number=accession, manufacturer=maker
                )
            )
        story.append(group)
    return story


def _tell(database: Database, story: list[list[ReceivedInstance] | int]) -> list[str]:
    told = []
    for part in story:
        if isinstance(part, int):
            for study_id in studies.identify(database, f"1.{part}"):
                if studies.load(database, study_id).state is StudyState.RECEIVING:
                    samples.route_study(database, study_id)
            continue
        for outcome in enter_all(database, *part):
            assert isinstance(outcome, Recorded)
            told.append(f"{outcome.receipt} {outcome.revision} {outcome.file_key}")
    return told


@pytest.mark.parametrize("seed", range(6))
def test_the_short_way_and_the_long_way_leave_the_same_rows(
    url: str, database: Database, seed: int
) -> None:
    story = _story(seed)
    told = _tell(database, story)
    rows = _rows(database)
    _empty(database)
    long = Database(url)
    long.direct.close()
    long.direct = LongWay()
    assert _tell(long, story) == told
    assert _rows(long) == rows
    assert len(rows) > 10
    long.close()


def _empty(database: Database) -> None:
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


def test_one_by_one_and_in_groups_leave_the_same_rows(database: Database) -> None:
    groups = [part for part in _story(99) if not isinstance(part, int)]
    told = _tell(database, list(groups))
    rows = _rows(database)
    _empty(database)
    alone: list[list[ReceivedInstance] | int] = [[i] for group in groups for i in group]
    assert _tell(database, alone) == told
    assert _rows(database) == rows
