"""What receiving an instance changes: the branches of invariant I4."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from db import instances, queries, studies, work
from db.engine import Database
from dicom_node.core.errors import CannotUnderstand
from dicom_node.core.ids import SOPClassUID, SOPInstanceUID, StudyInstanceUID
from dicom_node.core.states import Receipt, StudyState
from dicom_node.core.types import ReceivedInstance, Route, RoutingHeader
from tests.integration.db import samples
from tests.integration.db.samples import after, received


def test_the_first_instance_opens_its_study(database: Database) -> None:
    item = received()
    entered = samples.enter(database, item)
    study = studies.load(database, entered.study_id)
    assert entered.receipt is Receipt.NEW
    assert entered.file_key == item.file_key
    assert (study.state, study.revision) == (StudyState.RECEIVING, 1)
    assert study.first_instance_at == study.last_instance_at == samples.T0
    assert study.accession_number == "A1"
    (instance,) = study.instances
    assert instance.instance_id == entered.instance_id
    assert instance.header == item.header
    assert instance.file_key == item.file_key
    assert instance.dataset_digest == item.dataset_digest
    assert not instance.own_result


def test_a_further_instance_moves_the_quiet_time_and_keeps_the_revision(
    database: Database,
) -> None:
    samples.enter(database, received(number=1))
    entered = samples.enter(database, received(number=2, at=after(5)))
    study = studies.load(database, entered.study_id)
    assert (study.state, study.revision) == (StudyState.RECEIVING, 1)
    assert study.last_instance_at == after(5)
    assert study.first_instance_at == samples.T0
    assert len(study.instances) == 2


@pytest.mark.parametrize("routes", [(samples.CHEST,), ()])
def test_a_late_instance_makes_the_next_revision_of_a_settled_study(
    database: Database, routes: tuple[Route, ...]
) -> None:
    first = samples.enter(database, received(number=1))
    samples.route_study(database, first.study_id, *routes)
    late = samples.enter(database, received(number=2, at=after(60)))
    assert (late.receipt, late.revision) == (Receipt.NEW, 2)
    assert studies.load(database, first.study_id).state is StudyState.RECEIVING
    before = studies.load(database, first.study_id, revision=1)
    assert [item.instance_id for item in before.instances] == [first.instance_id]
    second_late = samples.enter(database, received(number=3, at=after(61)))
    assert second_late.revision == 2


def test_the_same_bytes_again_change_nothing_and_name_the_file_kept(
    database: Database,
) -> None:
    first = samples.enter(database, received())
    samples.route_study(database, first.study_id, samples.CHEST)
    before = studies.load(database, first.study_id)
    again = samples.enter(database, received(at=after(60)))
    assert again.receipt is Receipt.REPEAT
    assert again.file_key == first.file_key != received(at=after(60)).file_key
    assert studies.load(database, first.study_id) == before
    (version,) = instances.find(database, received().sop_instance_uid)
    assert (version.repeats, version.repeated_at) == (1, after(60))


def test_other_bytes_with_the_same_pixels_become_current_without_a_revision(
    database: Database,
) -> None:
    first = samples.enter(database, received(data="before"))
    samples.route_study(database, first.study_id, samples.CHEST)
    coerced = samples.with_header(
        received(data="after", at=after(60)), accession_number="A2"
    )
    entered = samples.enter(database, coerced)
    study = studies.load(database, first.study_id)
    assert (entered.receipt, entered.revision) == (Receipt.NEW_METADATA, 1)
    assert (study.state, study.revision) == (StudyState.ROUTED, 1)
    assert study.accession_number == "A2"
    (instance,) = study.instances
    assert instance.file_key == coerced.file_key
    assert instance.header.accession_number == "A2"
    assert len(set(instances.known_keys(database))) == 2


def test_an_earlier_version_that_comes_again_is_current_again(
    database: Database,
) -> None:
    first = samples.enter(database, received(data="a"))
    samples.enter(database, received(data="b"))
    again = samples.enter(database, received(data="a", at=after(9)))
    assert (again.receipt, again.file_key) == (Receipt.NEW_METADATA, first.file_key)
    found = instances.find(database, received().sop_instance_uid)
    assert [version.current for version in found] == [True, False]


def test_a_document_without_pixels_gets_a_new_version(database: Database) -> None:
    samples.enter(database, received(pixels="", data="before"))
    entered = samples.enter(database, received(pixels="", data="after"))
    assert entered.receipt is Receipt.NEW_METADATA


def test_other_pixels_are_kept_beside_the_first_and_never_used(
    database: Database,
) -> None:
    first = samples.enter(database, received())
    samples.route_study(database, first.study_id, samples.CHEST)
    other = received(pixels="other", at=after(60))
    entered = samples.enter(database, other)
    study = studies.load(database, first.study_id)
    assert entered.receipt is Receipt.CONFLICT
    assert entered.file_key == other.file_key
    assert (study.state, study.revision) == (StudyState.ROUTED, 1)
    assert [item.file_key for item in study.instances] == [first.file_key]
    assert queries.counts(database).receipts[Receipt.CONFLICT] == 1


def test_a_conflict_that_comes_again_is_a_conflict_kept_once(
    database: Database,
) -> None:
    samples.enter(database, received())
    first = samples.enter(database, received(pixels="other"))
    again = samples.enter(database, received(pixels="other", at=after(5)))
    assert (again.receipt, again.file_key) == (Receipt.CONFLICT, first.file_key)
    found = instances.find(database, received().sop_instance_uid)
    assert [(item.current, item.repeats) for item in found] == [(True, 0), (False, 1)]


def test_the_same_uid_in_another_study_is_a_conflict(database: Database) -> None:
    first = samples.enter(database, received())
    stranger = replace(
        received(data="moved"), study_instance_uid=StudyInstanceUID("9.9")
    )
    entered = samples.enter(database, stranger)
    assert entered.receipt is Receipt.CONFLICT
    assert entered.study_id == first.study_id
    assert studies.identify(database, "9.9") == ()


def _returned(
    manufacturer: str = "", sop_instance_uid: str = "2.25.100"
) -> ReceivedInstance:
    return replace(
        received(pixels="", at=after(60)),
        sop_class_uid=samples.COMPREHENSIVE_3D,
        sop_instance_uid=SOPInstanceUID(sop_instance_uid),
        header=RoutingHeader(modality="SR", manufacturer=manufacturer),
    )


def test_a_report_of_this_node_that_comes_back_leaves_its_study_alone(
    database: Database,
) -> None:
    samples.queue_job(database)
    work.settle_job(
        database, samples.claim(database), samples.settlement(), now=after(3)
    )
    (study_id,) = studies.identify(database, "1.2.3")
    before = studies.load(database, study_id)
    entered = samples.enter(database, _returned())
    study = studies.load(database, study_id)
    assert entered.receipt is Receipt.OWN_RESULT
    assert (study.state, study.revision) == (StudyState.ROUTED, 1)
    assert study.last_instance_at == before.last_instance_at
    assert len(study.instances) == 2
    assert study.evidence == before.evidence
    assert samples.enter(database, _returned()).receipt is Receipt.REPEAT


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        samples.COMPREHENSIVE_3D,
        SOPClassUID("1.2.840.10008.5.1.4.1.1.7"),
        SOPClassUID("1.2.840.10008.5.1.4.1.1.88.59"),
    ],
)
def test_a_result_of_a_node_before_this_one_is_known_by_its_manufacturer(
    database: Database, sop_class_uid: SOPClassUID
) -> None:
    item = replace(_returned("dicom-node", "2.25.5"), sop_class_uid=sop_class_uid)
    entered = samples.enter(database, item)
    study = studies.load(database, entered.study_id)
    assert entered.receipt is Receipt.OWN_RESULT
    assert (study.state, study.evidence) == (StudyState.RECEIVING, ())


@pytest.mark.parametrize(
    ("manufacturer", "sop_class_uid"),
    [
        ("Other vendor", samples.COMPREHENSIVE_3D),
        ("dicom-node", samples.CR),
        ("dicom-node", SOPClassUID("1.2.840.10008.5.1.4.1.1.7.4")),
        ("Other vendor", SOPClassUID("1.2.840.10008.5.1.4.1.1.7")),
    ],
)
def test_what_others_made_is_not_an_own_result(
    database: Database, manufacturer: str, sop_class_uid: SOPClassUID
) -> None:
    item = replace(_returned(manufacturer, "2.25.6"), sop_class_uid=sop_class_uid)
    assert samples.enter(database, item).receipt is Receipt.NEW


def test_an_own_result_during_reception_does_not_prolong_it(
    database: Database,
) -> None:
    samples.enter(database, received())
    entered = samples.enter(database, _returned("dicom-node", "2.25.5"))
    assert studies.load(database, entered.study_id).last_instance_at == samples.T0


def test_associations_that_open_one_study_at_once_share_it(
    database: Database,
) -> None:
    items = [received(number=number) for number in range(1, 41)]
    with ThreadPoolExecutor(8) as pool:
        entered = list(pool.map(lambda item: samples.enter(database, item), items))
    assert {item.receipt for item in entered} == {Receipt.NEW}
    assert len({item.study_id for item in entered}) == 1
    assert len(studies.load(database, entered[0].study_id).instances) == 40


def test_the_same_instance_on_several_associations_at_once_is_new_once(
    database: Database,
) -> None:
    """F08 of the fault plan: two senders send the same study at the same time."""
    with ThreadPoolExecutor(8) as pool:
        entered = list(
            pool.map(
                lambda second: samples.enter(database, received(at=after(second))),
                range(16),
            )
        )
    receipts = [item.receipt for item in entered]
    assert receipts.count(Receipt.NEW) == 1
    assert receipts.count(Receipt.REPEAT) == 15
    assert len({item.file_key for item in entered}) == 1


def test_text_from_the_wire_is_bounded_and_holds_no_nul(database: Database) -> None:
    hostile = samples.with_header(
        replace(received(), calling_ae_title="A\x00B" + "x" * 500),
        study_description="나\x00" * 5000,
        series_description="\udcff lone surrogate",
        accession_number="7\x00" * 1000,
        patient_age_years=float("nan"),
        image_type=("X" * 5000,) * 1000,
        number_of_frames=10**30,
    )
    entered = samples.enter(database, hostile)
    study = studies.load(database, entered.study_id)
    (instance,) = study.instances
    assert instance.calling_ae_title.startswith("ABx")
    assert len(instance.calling_ae_title) <= 64
    assert len(instance.header.study_description) <= 5000
    assert "\x00" not in study.accession_number + instance.header.study_description
    assert instance.header.patient_age_years is None
    assert len(instance.header.image_type) <= 256
    assert instance.header.number_of_frames == 10**30


@pytest.mark.parametrize("value", ["", "1." * 100, "1.2\x00.3"])
@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("SOPInstanceUID", "sop_instance_uid"),
        ("StudyInstanceUID", "study_instance_uid"),
        ("SeriesInstanceUID", "series_instance_uid"),
    ],
)
def test_a_uid_that_cannot_be_kept_whole_is_refused_by_its_keyword(
    database: Database, keyword: str, name: str, value: str
) -> None:
    item = replace(received(), **{name: value})  # type: ignore[arg-type]  # any field, by its name
    with pytest.raises(CannotUnderstand, match=keyword):
        samples.enter(database, item)


def test_an_unknown_instance_has_no_versions(database: Database) -> None:
    assert instances.find(database, "9.9\x00" + "9" * 500) == ()
