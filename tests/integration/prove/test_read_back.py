"""An object that a query finds at the archive is verified."""

import pytest

from db.engine import Database
from dicom_node.core.states import Proof, WorkState
from tests.integration.prove.archive import Habits, running_archive
from tests.integration.prove.desk import make_desk


def test_an_object_that_is_found_is_verified(database: Database) -> None:
    with running_archive(Habits()) as archive:
        desk = make_desk(database, archive.port, read_back="c-find")
        assert desk.turn() is WorkState.DONE
    assert desk.row().proof == Proof.VERIFIED
    (query,) = archive.queried
    assert query.QueryRetrieveLevel == "IMAGE"
    assert query.SOPInstanceUID == desk.uid
    assert query.StudyInstanceUID
    assert query.SeriesInstanceUID


def test_a_commitment_comes_before_the_query(database: Database) -> None:
    with running_archive(Habits()) as archive:
        desk = make_desk(
            database, archive.port, read_back="c-find", commitment="required"
        )
        assert desk.turn() is WorkState.DONE
    assert desk.row().proof == Proof.VERIFIED
    assert len(archive.asked) == len(archive.queried) == 1


def test_an_object_that_is_not_found_at_once_is_looked_for_again(
    database: Database,
) -> None:
    with running_archive(Habits(found=[False, False, True])) as archive:
        desk = make_desk(database, archive.port, read_back="c-find")
        assert desk.turn() is WorkState.QUEUED
        assert desk.turn() is None
        row = desk.run()
    assert row.proof == Proof.VERIFIED
    assert archive.stored == [desk.uid]


@pytest.mark.parametrize(
    ("commitment", "proof"), [("off", Proof.SENT), ("required", Proof.COMMITTED)]
)
def test_an_object_that_is_never_found_keeps_the_weaker_proof_and_says_so(
    database: Database, commitment: str, proof: Proof
) -> None:
    with running_archive(Habits(found=[False])) as archive:
        desk = make_desk(
            database, archive.port, read_back="c-find", commitment=commitment
        )
        row = desk.run()
    assert (row.state, row.proof) == (WorkState.DONE, proof)
    assert "not verified: a query did not find the object" in row.reason
    assert len(archive.stored) == 1
    assert len(archive.asked) <= 1


def test_an_archive_without_queries_is_named_with_the_setting(
    database: Database,
) -> None:
    with running_archive(Habits(queries=False)) as archive:
        desk = make_desk(database, archive.port, read_back="c-find")
        row = desk.run()
    assert (row.state, row.proof) == (WorkState.DONE, Proof.SENT)
    assert "read_back of destination 'pacs'" in row.reason
