"""A study of which something is on its way is not quiet."""

import pytest

from db import arrivals, studies
from db.engine import Database
from dicom_node.core.errors import LostRace
from dicom_node.core.ids import StudyId
from dicom_node.core.states import StudyState
from tests.integration.db.samples import (
    CHEST,
    after,
    decision,
    enter,
    received,
    route_study,
)


def _quiet(database: Database, seconds: float) -> tuple[StudyId, ...]:
    return studies.quiet(
        database, now=after(seconds), quiet_seconds=10, limit_seconds=100
    )


def test_the_quiet_time_begins_when_something_of_the_study_last_came(
    database: Database,
) -> None:
    entered, other = enter(database, received()), enter(database, received("1.2.4"))
    arrivals.note(database, {"1.2.3": after(8), "1.2.99": after(8)})
    assert _quiet(database, 17.999) == (other.study_id,)
    assert _quiet(database, 18) == (other.study_id, entered.study_id)
    assert studies.next_quiet_at(
        database, quiet_seconds=10, limit_seconds=100
    ) == after(10)


def test_what_is_noted_late_takes_nothing_back(database: Database) -> None:
    entered = enter(database, received())
    enter(database, received(number=2, at=after(9)))
    arrivals.note(database, {"1.2.3": after(8)})
    assert studies.load(database, entered.study_id).last_instance_at == after(9)


def test_the_limit_of_a_study_holds(database: Database) -> None:
    entered = enter(database, received())
    arrivals.note(database, {"1.2.3": after(99)})
    assert _quiet(database, 100) == (entered.study_id,)


def test_a_study_that_is_settled_stays_so(database: Database) -> None:
    entered = enter(database, received())
    route_study(database, entered.study_id, CHEST)
    arrivals.note(database, {"1.2.3": after(8)})
    study = studies.load(database, entered.study_id)
    assert (study.state, study.last_instance_at) == (StudyState.ROUTED, after(0))


def test_what_comes_while_a_study_is_routed_keeps_it_open(database: Database) -> None:
    entered = enter(database, received())
    study = studies.load(database, entered.study_id)
    arrivals.note(database, {"1.2.3": after(10)})
    with pytest.raises(LostRace):
        studies.settle(database, study, decision(CHEST), now=after(10))
