"""What an earlier revision has for a destination goes out before a later one's."""

from db import sending, work
from db.engine import Database
from dicom_node.core.ids import StudyId
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Addressee, Delivery, Route, Setback, Settlement
from dicom_node.lanes import Lanes
from tests.integration.db.samples import (
    CHEST,
    SENT,
    after,
    claim,
    enter,
    prediction,
    received,
    report,
    route_study,
    settlement,
)

BOTH = Route(name="chest", model="cxr", destinations=("pacs", "archive"))


def _claimed(database: Database, *, at: float = 50) -> Delivery | None:
    return work.claim_delivery(database, owner="w", now=after(at), lease_seconds=1000)


def _result(
    database: Database, number: int, *, route: Route = CHEST, study: str = "1.2.3"
) -> StudyId:
    """Receive another image, which opens a revision, and settle its job."""
    entered = enter(database, received(study, number, at=after(number)))
    route_study(database, entered.study_id, route, at=number)
    uid = f"2.25.{number}"
    settled = settlement(report(uid), destinations=route.destinations)
    work.settle_job(database, claim(database, at=number), settled, now=after(number))
    return entered.study_id


def _uids(delivery: Delivery | None) -> list[str]:
    assert delivery is not None
    return [str(item.sop_instance_uid) for item in delivery.reports]


def test_a_later_revision_waits_for_an_earlier_one_that_is_put_off(
    database: Database,
) -> None:
    _result(database, 1)
    _result(database, 2)
    first = _claimed(database)
    assert _uids(first) == ["2.25.1"]
    assert _claimed(database) is None
    assert first is not None
    work.requeue(
        database, first, Setback(reason="down"), not_before=after(90), now=after(51)
    )
    assert _claimed(database, at=89) is None
    first = _claimed(database, at=90)
    assert _uids(first) == ["2.25.1"]
    assert first is not None
    sending.settle_delivery(database, first, SENT, now=after(91))
    assert _uids(_claimed(database, at=91)) == ["2.25.2"]


def test_one_that_was_given_up_holds_nothing(database: Database) -> None:
    _result(database, 1)
    _result(database, 2)
    first = _claimed(database)
    assert first is not None
    work.fail(database, first, Setback(reason="refused"), now=after(51))
    assert _uids(_claimed(database)) == ["2.25.2"]


def test_one_whose_commitment_is_waited_for_holds_nothing(database: Database) -> None:
    _result(database, 1)
    _result(database, 2)
    first = _claimed(database)
    assert first is not None
    first = sending.mark_sent(database, first, SENT, now=after(51))
    assert _claimed(database, at=51) is None
    work.requeue(
        database, first, Setback(reason="sent"), not_before=after(900), now=after(52)
    )
    assert _uids(_claimed(database, at=53)) == ["2.25.2"]


def test_other_destinations_and_other_studies_go_on(database: Database) -> None:
    _result(database, 1, route=BOTH)
    _result(database, 2, route=BOTH)
    _result(database, 3, study="9.9")
    first = _claimed(database)
    assert first is not None
    work.requeue(
        database, first, Setback(reason="down"), not_before=after(900), now=after(51)
    )
    gone = []
    while (delivery := _claimed(database)) is not None:
        gone.append((delivery.destination, *_uids(delivery)))
        sending.settle_delivery(database, delivery, SENT, now=after(52))
    assert gone == [
        ("archive", "2.25.1"),
        ("archive", "2.25.2"),
        ("pacs", "2.25.3"),
    ]


def test_a_result_that_is_still_made_goes_out_before_that_of_a_later_revision(
    database: Database,
) -> None:
    study_id = enter(database, received("1.2.3", 1)).study_id
    route_study(database, study_id, CHEST)
    slow = claim(database, at=1, lease=1000)
    _result(database, 2)
    assert _claimed(database) is None
    work.settle_job(database, slow, settlement(report("2.25.1")), now=after(20))
    first = _claimed(database)
    assert _uids(first) == ["2.25.1"]
    assert first is not None
    sending.settle_delivery(database, first, SENT, now=after(51))
    assert _uids(_claimed(database)) == ["2.25.2"]


def test_kinds_of_one_result_do_not_wait_for_one_another(database: Database) -> None:
    study_id = enter(database, received("1.2.3", 1)).study_id
    route_study(database, study_id, CHEST)
    both = settlement()
    kinds = tuple(
        Addressee(destination="pacs", kind=kind)
        for kind in (ReportKind.SR, ReportKind.SC)
    )
    both = Settlement(prediction=prediction(), reports=both.reports, addressees=kinds)
    work.settle_job(database, claim(database, at=1), both, now=after(2))
    taken = [_claimed(database), _claimed(database)]
    assert [one.kind for one in taken if one] == [ReportKind.SR, ReportKind.SC]


def test_one_that_is_tried_again_and_again_holds_up_nobody(database: Database) -> None:
    _result(database, 1, study="1.2.3")
    _result(database, 2, study="1.2.4")
    first = _claimed(database)
    assert first is not None
    assert _uids(first) == ["2.25.1"]
    setback = Setback(reason="sent; waits for the storage commitment")
    work.requeue(database, first, setback, not_before=after(52), now=after(51))
    assert _uids(_claimed(database, at=60)) == ["2.25.2"]
    assert _uids(_claimed(database, at=60)) == ["2.25.1"]


def test_a_destination_that_hangs_has_one_delivery_in_hand_and_holds_up_no_other(
    database: Database,
) -> None:
    _result(database, 1, route=BOTH, study="1.2.3")
    _result(database, 2, route=BOTH, study="1.2.4")
    lanes = Lanes()

    def take(but_to: frozenset[str]) -> Delivery | None:
        return work.claim_delivery(
            database, owner="w", now=after(50), lease_seconds=1000, but_to=but_to
        )

    with lanes.turn(take) as hangs:
        assert hangs is not None
        for uid in ("2.25.1", "2.25.2"):
            with lanes.turn(take) as other:
                assert _uids(other) == [uid]
                assert other is not None
                assert other.destination != hangs.destination
        with lanes.turn(take) as nobody:
            assert nobody is None  # the rest is for the one that hangs
    with lanes.turn(take) as following:
        assert following is not None
        assert following.destination == hangs.destination
