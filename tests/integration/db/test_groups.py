"""Groups of instances in one transaction: each one's answer is as if it came alone."""

import threading
from dataclasses import replace

import pytest

from db import instances, studies
from db.engine import Database
from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import Receipt, StudyState
from dicom_node.core.types import Recorded
from tests.integration.db import samples
from tests.integration.db.samples import KeyCompare, after, enter_all, received


def _receipts(*outcomes: instances.Outcome) -> list[Receipt]:
    assert all(isinstance(item, Recorded) for item in outcomes)
    return [item.receipt for item in outcomes if isinstance(item, Recorded)]


def test_a_group_of_several_studies_is_answered_in_its_order(
    database: Database,
) -> None:
    items = [received(f"1.{n % 3 + 1}", n, at=after(n)) for n in range(9)]
    outcomes = enter_all(database, *items)
    assert _receipts(*outcomes) == [Receipt.NEW] * 9
    for item, outcome in zip(items, outcomes, strict=True):
        assert isinstance(outcome, Recorded)
        study = studies.load(database, outcome.study_id)
        assert study.study_instance_uid == item.study_instance_uid
        (found,) = [x for x in study.instances if x.file_key == item.file_key]
        assert found.instance_id == outcome.instance_id
        assert found.sop_instance_uid == item.sop_instance_uid
    for number in (1, 2, 3):
        (study_id,) = studies.identify(database, f"1.{number}")
        study = studies.load(database, study_id)
        assert study.first_instance_at == after(number - 1)
        assert study.last_instance_at == after(number + 5)


def test_one_that_cannot_be_kept_is_refused_alone(database: Database) -> None:
    bad = replace(received(number=2), sop_instance_uid=SOPInstanceUID("1." * 100))
    first, refused, last = enter_all(database, received(), bad, received(number=3))
    assert isinstance(refused, CannotUnderstand)
    assert _receipts(first, last) == [Receipt.NEW, Receipt.NEW]
    assert enter_all(database) == ()
    (alone,) = enter_all(database, bad)
    assert isinstance(alone, CannotUnderstand)


@pytest.mark.parametrize("known", [False, True])
def test_one_uid_several_times_in_a_group_is_told_apart(
    database: Database, known: bool
) -> None:
    if known:
        enter_all(database, received(number=1))
    outcomes = enter_all(
        database,
        received(number=1),
        received(number=2),
        received(number=1),
        received(number=1, data="coerced"),
        received(number=1, pixels="other"),
        received(number=1),
    )
    assert _receipts(*outcomes) == [
        Receipt.REPEAT if known else Receipt.NEW,
        Receipt.NEW,
        Receipt.REPEAT,
        Receipt.NEW_METADATA,
        Receipt.CONFLICT,
        Receipt.NEW_METADATA,
    ]
    found = instances.find(database, received().sop_instance_uid)
    assert [item.current for item in found] == [True, False, False]
    assert found[0].repeats == 2 + known


def test_of_two_with_one_uid_the_first_is_the_first_whichever_way_it_goes(
    database: Database,
) -> None:
    first = samples.with_header(received(data="a"), accession_number="예약")
    outcomes = enter_all(database, first, received(data="b"))
    assert _receipts(*outcomes) == [Receipt.NEW, Receipt.NEW_METADATA]


def test_a_group_that_comes_late_makes_one_revision(database: Database) -> None:
    (first,) = enter_all(database, received())
    assert isinstance(first, Recorded)
    samples.route_study(database, first.study_id)
    late = enter_all(database, *(received(number=n, at=after(60)) for n in range(1, 6)))
    assert _receipts(*late) == [Receipt.REPEAT, *[Receipt.NEW] * 4]
    assert [item.revision for item in late if isinstance(item, Recorded)] == [
        1,
        2,
        2,
        2,
        2,
    ]
    study = studies.load(database, first.study_id)
    assert (study.state, study.revision) == (StudyState.RECEIVING, 2)


def test_a_group_of_repeats_touches_no_study(database: Database) -> None:
    items = [received(number=n) for n in range(4)]
    (first, *_) = enter_all(database, *items)
    assert isinstance(first, Recorded)
    before = studies.load(database, first.study_id)
    again = enter_all(database, *(received(number=n, at=after(9)) for n in range(4)))
    assert _receipts(*again) == [Receipt.REPEAT] * 4
    assert studies.load(database, first.study_id) == before


def test_the_first_accession_number_of_a_study_is_kept(database: Database) -> None:
    without = samples.with_header(received(number=1), accession_number="")
    (entered,) = enter_all(database, without)
    assert isinstance(entered, Recorded)
    assert studies.load(database, entered.study_id).accession_number == ""
    for number, accession in ((2, ""), (3, "A3"), (4, "A4"), (5, "")):
        item = samples.with_header(received(number=number), accession_number=accession)
        enter_all(database, item)
    assert studies.load(database, entered.study_id).accession_number == "A3"
    pair = (
        samples.with_header(received("1.9", 1), accession_number=""),
        samples.with_header(received("1.9", 2), accession_number="A9"),
    )
    (entered, _) = enter_all(database, *pair)
    assert isinstance(entered, Recorded)
    assert studies.load(database, entered.study_id).accession_number == "A9"


def test_what_was_entered_before_under_its_key_has_the_answer_of_that_time(
    database: Database,
) -> None:
    """A sender of the group lost the connection in the commit, which took place."""
    items = [received(number=1), received(number=2)]
    first = enter_all(database, *items)
    before = [instances.find(database, item.sop_instance_uid) for item in items]
    assert enter_all(database, *items) == first
    after_all = [instances.find(database, item.sop_instance_uid) for item in items]
    assert after_all == before


class Lost(KeyCompare):
    """The first file under a UID is gone or damaged."""

    def __init__(self, key: str) -> None:
        self.key = key

    def same_dataset(self, kept: str, other: str) -> bool:
        self._check(kept)
        return super().same_dataset(kept, other)

    def same_pixels(self, kept: str, other: str) -> bool:
        self._check(kept)
        return super().same_pixels(kept, other)

    def _check(self, kept: str) -> None:
        if kept == self.key:
            raise StoreError("the file is gone")


def test_a_file_that_was_lost_is_replaced_by_the_same_bytes(
    database: Database,
) -> None:
    first = received()
    again = received(at=after(9))
    enter_all(database, first)
    (entered,) = instances.record_all(database, [again], compare=Lost(first.file_key))
    assert isinstance(entered, Recorded)
    assert (entered.receipt, entered.file_key) == (Receipt.REPEAT, again.file_key)
    (version,) = instances.find(database, first.sop_instance_uid)
    assert (version.file_key, version.repeats) == (again.file_key, 1)
    (instance,) = studies.load(database, entered.study_id).instances
    assert instance.file_key == again.file_key


def test_other_bytes_beside_a_lost_file_are_a_conflict(database: Database) -> None:
    """Whether the pixels are the same, nobody can tell any more."""
    first = received()
    enter_all(database, first)
    (entered,) = instances.record_all(
        database, [received(data="coerced")], compare=Lost(first.file_key)
    )
    assert _receipts(entered) == [Receipt.CONFLICT]
    assert instances.find(database, first.sop_instance_uid)[0].current


@pytest.mark.parametrize(
    ("pixels", "receipt"),
    [("pixels", Receipt.NEW_METADATA), ("other", Receipt.CONFLICT)],
)
def test_equal_digests_of_different_bytes_are_different_bytes(
    database: Database, pixels: str, receipt: Receipt
) -> None:
    """XXH3 keeps no forger out."""
    first = received()
    forged = replace(
        received(pixels=pixels, data="forged"), dataset_digest=first.dataset_digest
    )
    enter_all(database, first)
    (entered,) = enter_all(database, forged)
    assert _receipts(entered) == [receipt]
    found = instances.find(database, first.sop_instance_uid)
    assert {item.file_key for item in found} == {first.file_key, forged.file_key}


def test_bytes_received_before_there_was_this_digest_are_known_again(
    database: Database,
) -> None:
    before = received()
    old = replace(before, dataset_digest=samples.digest("SHA-256 of then"))
    enter_all(database, old)
    (entered,) = enter_all(database, received())
    assert _receipts(entered) == [Receipt.REPEAT]


def test_files_are_compared_while_others_may_write(database: Database) -> None:
    """Two files of gigabytes take seconds; nobody waits for them."""
    written: list[bool] = []

    class Slow(KeyCompare):
        def same_dataset(self, kept: str, other: str) -> bool:
            def write() -> None:
                enter_all(database, received("9.9"))
                written.append(True)

            thread = threading.Thread(target=write)
            thread.start()
            thread.join(timeout=10)
            return super().same_dataset(kept, other)

    enter_all(database, received())
    instances.record_all(database, [received()], compare=Slow())
    assert written == [True]
