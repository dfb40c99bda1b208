"""Refused instances can be found; a flood of them does not grow for ever."""

from dataclasses import replace

import pytest

from db import refusals
from db.engine import Database
from db.refusals import RefusalQuery, count_refusals, list_refusals, refusals_of
from dicom_node.core.refusal import RefusedInstance
from tests.integration.db.samples import CR, EXPLICIT_LITTLE, T0, after, enter, received

REFUSED = RefusedInstance(
    at=T0,
    calling_ae_title="CT1",
    called_ae_title="AINODE",
    peer_address="10.0.0.1",
    sop_class_uid=CR,
    transfer_syntax_uid=EXPLICIT_LITTLE,
    sop_instance_uid="1.2.3.9.9",
    study_instance_uid="1.2.3",
    accession_number="A1",
    status=0xC000,
    reason="Rows or Columns is missing or zero",
    size_bytes=5_000_000_000,
)


def _ids(database: Database, query: RefusalQuery) -> list[str]:
    lines, _ = list_refusals(database, query)
    return [line.instance.sop_instance_uid for line in lines]


def test_a_refusal_is_kept_as_it_was_told(database: Database) -> None:
    refusals.record(database, [REFUSED])
    (line,), more = list_refusals(database, RefusalQuery())
    assert (line.instance, line.here, more) == (REFUSED, False, False)


@pytest.mark.parametrize("key", ["1.2.3", "1.2.3.9.9", "A1"])
def test_a_study_an_instance_and_an_accession_number_find_it(
    database: Database, key: str
) -> None:
    other = replace(
        REFUSED, study_instance_uid="1.4", sop_instance_uid="1.4.1",
        accession_number="",
    )  # fmt: skip
    refusals.record(database, [REFUSED, other])
    assert _ids(database, RefusalQuery(key=key)) == ["1.2.3.9.9"]
    assert count_refusals(database, key) == 1
    assert count_refusals(database, "") == 0
    assert [one.instance for one in refusals_of(database, "1.2.3")] == [REFUSED]


def test_they_come_latest_first_and_by_caller(database: Database) -> None:
    told = [
        replace(REFUSED, at=after(n), sop_instance_uid=f"1.{n}", calling_ae_title=who)
        for n, who in enumerate(["CT1", "MR1", "CT1"])
    ]
    refusals.record(database, told)
    assert _ids(database, RefusalQuery()) == ["1.2", "1.1", "1.0"]
    assert _ids(database, RefusalQuery(calling_ae_title="CT1")) == ["1.2", "1.0"]
    assert _ids(database, RefusalQuery(limit=1, offset=1)) == ["1.1"]
    assert list_refusals(database, RefusalQuery(limit=2))[1]
    assert refusals.callers(database) == ("CT1", "MR1")


def test_an_instance_that_came_after_all_is_said_to_be_here(database: Database) -> None:
    item = received("1.2.3", 1)
    refusals.record(
        database, [replace(REFUSED, sop_instance_uid=str(item.sop_instance_uid))]
    )
    assert not refusals_of(database, "1.2.3")[0].here
    enter(database, item)
    assert refusals_of(database, "1.2.3")[0].here


def test_a_flood_pushes_out_the_oldest(database: Database) -> None:
    flood = [
        replace(REFUSED, sop_instance_uid=f"1.{number}") for number in range(2_000)
    ]
    for start in range(0, refusals.KEPT + 4_000, len(flood)):
        batch = [
            replace(one, study_instance_uid=f"9.{start}.{number}")
            for number, one in enumerate(flood)
        ]
        refusals.record(database, batch, durable=False)
    found = list_refusals(database, RefusalQuery(limit=2 * refusals.KEPT))[0]
    assert len(found) == refusals.KEPT
    assert found[0].instance.study_instance_uid == f"9.{refusals.KEPT + 2000}.1999"
