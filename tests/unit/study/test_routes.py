"""Rules over the attributes of a study, and the words for a miss."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from config.settings import CalledTable, RouteTable, WhenTable
from dicom_node.core.ids import (
    InstanceId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyId,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from dicom_node.core.states import StudyState
from dicom_node.core.types import Instance, RoutingDecision, RoutingHeader, Study
from dicom_node.study.routes import RuleRouter

AT = datetime(2026, 1, 1, tzinfo=UTC)
DX = SOPClassUID("1.2.840.10008.5.1.4.1.1.1.1")
SECONDARY_CAPTURE = SOPClassUID("1.2.840.10008.5.1.4.1.1.7")
CHEST = RoutingHeader(
    modality="DX",
    body_part_examined="CHEST",
    view_position="PA",
    patient_age_years=4.2,
    image_type=("ORIGINAL", "PRIMARY"),
    study_description="Thorax p.a.",
    has_pixels=True,
)


def _instance(
    number: int, header: RoutingHeader = CHEST, *, own: bool = False
) -> Instance:
    return Instance(
        instance_id=InstanceId(number),
        sop_class_uid=DX,
        sop_instance_uid=SOPInstanceUID(f"1.2.{number}"),
        series_instance_uid=SeriesInstanceUID("1.3"),
        transfer_syntax_uid=TransferSyntaxUID("1.2.840.10008.1.2.1"),
        calling_ae_title="DX1",
        received_at=AT,
        revision=1,
        file_key="",
        size_bytes=1,
        dataset_digest="",
        own_result=own,
        header=header,
        called_ae_title="AICHEST ",
    )


def _study(*instances: Instance, called: str = "AICHEST") -> Study:
    return Study(
        study_id=StudyId(1),
        study_instance_uid=StudyInstanceUID("1.1"),
        accession_number="",
        state=StudyState.RECEIVING,
        revision=1,
        first_instance_at=AT,
        last_instance_at=AT,
        ignored_because=None,
        instances=instances or (_instance(1),),
        called_ae_title=called,
    )


def _route(when: WhenTable, *instances: Instance) -> RoutingDecision:
    table = RouteTable(name="chest", model="m", destinations=(), when=when)
    return RuleRouter([table]).route(_study(*instances))


@pytest.mark.parametrize(
    "when",
    [
        WhenTable(),
        WhenTable(modality=("CR", "DX")),
        WhenTable(modality=("dx",)),
        WhenTable(sop_class=(DX,)),
        WhenTable(sop_class=("DigitalXRayImageStorage*",)),
        WhenTable(body_part=("CHEST",), view=("PA", "AP")),
        WhenTable(min_age_years=1, max_age_years=5),
        WhenTable(max_age_years=4),
        WhenTable(calling_ae_title=("DX1",)),
        WhenTable(called_ae_title=("aichest", "AINODE")),
        WhenTable(description=("thorax*",)),
        WhenTable(min_images=1, max_images=1),
    ],
)
def test_a_route_takes_a_study_that_meets_its_conditions(when: WhenTable) -> None:
    decision = _route(when)
    assert [route.name for route in decision.routes] == ["chest"]
    assert decision.ignored_because is None
    assert all(verdict.matched for verdict in decision.verdicts)


@pytest.mark.parametrize(
    ("when", "attribute", "said"),
    [
        (WhenTable(modality=("CT",)), "Modality", "is DX; the route asks for CT"),
        (WhenTable(body_part=("HEAD",)), "BodyPartExamined", "is CHEST"),
        (WhenTable(view=("LL",)), "ViewPosition", "asks for LL"),
        (WhenTable(min_age_years=5), "PatientAge", "4.2 years"),
        (WhenTable(max_age_years=3), "PatientAge", "up to 3 years"),
        (WhenTable(max_age_years=4.1), "PatientAge", "up to 4.1 years"),
        (WhenTable(calling_ae_title=("CT1",)), "CallingAETitle", "is DX1"),
        (WhenTable(called_ae_title=("AINODE",)), "CalledAETitle", "is AICHEST"),
        (WhenTable(min_images=2), "images", "1 images"),
        (WhenTable(max_images=0), "images", "at most 0"),
    ],
)
def test_a_miss_names_the_attribute_and_what_was_asked(
    when: WhenTable, attribute: str, said: str
) -> None:
    decision = _route(when)
    assert not decision.routes
    (miss,) = [verdict for verdict in decision.verdicts if not verdict.matched]
    assert miss.attribute == attribute
    assert said in miss.detail
    assert decision.ignored_because
    assert miss.detail in decision.ignored_because


def test_a_missing_attribute_is_a_miss_and_said_so() -> None:
    bare = replace(CHEST, body_part_examined="", patient_age_years=None)
    when = WhenTable(body_part=("CHEST",), max_age_years=5)
    decision = _route(when, _instance(1, bare))
    assert [
        verdict.detail.split(" is missing")[0] for verdict in decision.verdicts
    ] == [
        "BodyPartExamined",
        "PatientAge",
    ]


def test_free_text_that_was_sent_is_never_repeated() -> None:
    decision = _route(WhenTable(description=("*knee*",)))
    assert "Thorax" not in str(decision)


def test_conditions_must_meet_in_one_image() -> None:
    lateral = replace(CHEST, view_position="LL")
    hand = replace(CHEST, body_part_examined="HAND")
    when = WhenTable(body_part=("CHEST",), view=("PA",))
    decision = _route(when, _instance(1, lateral), _instance(2, hand))
    assert not decision.routes
    assert "no single image" in (decision.ignored_because or "")


def test_localisers_and_screen_saves_do_not_count_as_images() -> None:
    localiser = replace(CHEST, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    screen = replace(_instance(2), sop_class_uid=SECONDARY_CAPTURE)
    decision = _route(WhenTable(modality=("DX",)), _instance(1, localiser), screen)
    assert not decision.routes
    assert "localisers" in (decision.ignored_because or "")
    assert (decision.ignored_because or "").endswith(
        "Image Type says that it is a localizer; SOP Class UID is Secondary Capture"
    )


def test_what_several_routes_miss_alike_is_said_once() -> None:
    tables = [
        RouteTable(name=name, model="m", destinations=(), when=WhenTable(modality=one))
        for name, one in (("a", ("CT",)), ("b", ("MR",)), ("c", ("CT",)))
    ]
    decision = RuleRouter(tables).route(_study())
    assert decision.ignored_because == (
        "no route matched: routes 'a', 'c': Modality is DX; the route asks for CT; "
        "route 'b': Modality is DX; the route asks for MR"
    )


def test_only_own_results_are_ignored_even_by_an_empty_table() -> None:
    decision = _route(WhenTable(), _instance(1, own=True))
    assert decision.ignored_because == "only results of this node"


def test_without_routes_a_study_is_ignored_with_that_reason() -> None:
    study_decision = RuleRouter([]).route(_study())
    assert study_decision.ignored_because == "no route is configured"


CALLED = (
    CalledTable(ae_title="AICHEST", destinations=("archive",)),
    CalledTable(ae_title="AIQUIET", destinations=()),
    CalledTable(ae_title="AISLOW", quiet_seconds=60),
)


@pytest.mark.parametrize(
    ("called", "destinations", "said"),
    [
        ("AICHEST", ("archive",), "archive instead of pacs"),
        (" AICHEST", ("archive",), "archive instead of pacs"),
        ("AIQUIET", (), "nobody instead of pacs"),
        ("AISLOW", ("pacs",), None),
        ("AINODE", ("pacs",), None),
    ],
)
def test_a_called_ae_title_sends_results_elsewhere_and_the_verdict_says_so(
    called: str, destinations: tuple[str, ...], said: str | None
) -> None:
    table = RouteTable(name="chest", model="m", destinations=("pacs",))
    decision = RuleRouter([table], called=CALLED).route(_study(called=called))
    (route,) = decision.routes
    assert route.destinations == destinations
    told = [item for item in decision.verdicts if item.rule == "destinations"]
    assert all(item.matched for item in decision.verdicts)
    assert [item.detail.split(",")[0] for item in told] == ([said] if said else [])


def test_a_route_that_misses_is_not_told_where_its_results_would_go() -> None:
    table = RouteTable(name="ct", model="m", when=WhenTable(modality=("CT",)))
    decision = RuleRouter([table], called=CALLED).route(_study())
    assert [item.rule for item in decision.verdicts] == ["modality"]
