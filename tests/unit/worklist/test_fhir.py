"""What a FHIR transaction says, by FHIR's own rules."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.core.errors import ReportError
from dicom_node.core.states import Urgency
from dicom_node.core.types import CodedConcept, Suggestion
from tests.unit.worklist import results
from tests.unit.worklist.fhir_desk import Desk, code_of, of_kind, only
from tests.unit.worklist.results import (
    FINISHED,
    MILLIMETRE,
    PNEUMONIA,
    PNEUMOTHORAX,
    RIGHT,
    STUDY,
    finding,
    measured,
    prediction,
    stat,
)

LUNG = CodedConcept(value="39607008", scheme="SCT", meaning="Lung")
LEFT = CodedConcept(value="7771000", scheme="SCT", meaning="Left")
OF_HOSPITAL = {"HOSP": "urn:oid:1.2.3", "": "urn:oid:1.2.4"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "reports").mkdir()
    return Desk(folder=tmp_path)


def test_a_finding_is_told_with_its_probability_and_operating_point(desk: Desk) -> None:
    made = prediction(finding(site=LUNG, laterality=RIGHT))
    bundle = desk.bundle(results.result([desk.image()], made, suggestion=stat()))
    told = only(bundle, "Observation")
    assert told["status"] == "preliminary"
    assert code_of(told["code"]) == ("http://snomed.info/sct", "36118008")
    assert code_of(told["valueCodeableConcept"])[1] == "52101004"
    assert code_of(told["interpretation"][0])[1] == "AA"
    assert told["bodySite"]["text"] == "Lung, right"
    probability, side = told["component"]
    assert code_of(probability["code"])[1] == "122157"
    assert probability["valueQuantity"] == {
        "value": 0.93,
        "system": "http://unitsofmeasure.org",
        "code": "1",
    }
    assert probability["referenceRange"][0]["high"]["value"] == 0.5
    assert code_of(side["valueCodeableConcept"])[1] == RIGHT.value


@pytest.mark.parametrize(
    ("probability", "threshold", "value", "flag"),
    [
        (0.93, 0.5, "52101004", "A"),
        (0.2, 0.5, "272519000", "N"),
        (0.2, None, "373068000", None),
    ],
)
def test_a_finding_is_present_absent_or_undetermined(
    desk: Desk,
    probability: float,
    threshold: float | None,
    value: str,
    flag: str | None,
) -> None:
    made = prediction(finding(PNEUMOTHORAX, probability, threshold))
    told = only(desk.bundle(results.result([desk.image()], made)), "Observation")
    assert code_of(told["valueCodeableConcept"])[1] == value
    flags = [code_of(one)[1] for one in told.get("interpretation", [])]
    assert flags == ([flag] if flag else [])


def test_a_measurement_is_told_in_its_unit(desk: Desk) -> None:
    result = results.result([desk.image()], prediction(measured(41.5, 40.0)))
    bundle = desk.bundle(result)
    told = only(bundle, "Observation")
    assert told["valueQuantity"] == {
        "value": 41.5,
        "unit": MILLIMETRE.meaning,
        "system": "http://unitsofmeasure.org",
        "code": "mm",
    }
    assert told["referenceRange"][0]["high"]["value"] == 40.0
    assert "conclusionCode" not in only(bundle, "DiagnosticReport")


def test_the_report_holds_everything_together(desk: Desk) -> None:
    made = prediction(finding(), finding(PNEUMONIA, 0.1))
    bundle = desk.bundle(results.result([desk.image()], made))
    at = {entry["resource"]["resourceType"]: entry for entry in bundle["entry"]}
    report = only(bundle, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert code_of(report["category"][0]) == (
        "http://terminology.hl7.org/CodeSystem/v2-0074",
        "RAD",
    )
    assert len(report["result"]) == 2
    assert report["imagingStudy"] == [{"reference": at["ImagingStudy"]["fullUrl"]}]
    assert [code_of(one)[1] for one in report["conclusionCode"]] == ["36118008"]
    assert report["issued"] == "2026-11-22T17:32:24.000+00:00"
    assert report["effectiveDateTime"] == "2026-11-22T17:32:00+01:00"
    assert "not reviewed by a person" in report["conclusion"]
    assert "research use only" in report["conclusion"]
    study = only(bundle, "ImagingStudy")
    assert study["identifier"][0] == {
        "system": "urn:dicom:uid",
        "value": f"urn:oid:{STUDY}",
    }
    device = only(bundle, "Device")
    assert device["identifier"][0]["value"] == f"urn:oid:{made.device_uid}"
    assert "udiCarrier" not in device
    for told in of_kind(bundle, "Observation"):
        assert told["device"] == {"reference": at["Device"]["fullUrl"]}
        assert told["derivedFrom"] == report["imagingStudy"]


def test_the_order_is_named_by_its_accession_number(desk: Desk) -> None:
    desk.table = desk.table.model_copy(
        update={"accession_systems": {"": "urn:oid:1.2.9"}}
    )
    bundle = desk.bundle(results.result([desk.image()], prediction(finding())))
    for kind in ("DiagnosticReport", "Observation", "ImagingStudy"):
        (order,) = only(bundle, kind)["basedOn"]
        assert order["type"] == "ServiceRequest"
        assert order["identifier"]["value"] == "ACC-1"
        assert order["identifier"]["system"] == "urn:oid:1.2.9"
        assert code_of(order["identifier"]["type"])[1] == "ACSN"
    assert "accession" not in json.dumps(
        desk.bundle(
            results.result([desk.image(AccessionNumber="")], prediction(finding()))
        )
    )


@pytest.mark.parametrize(
    ("urgency", "priority"),
    [
        (Urgency.STAT, "stat"),
        (Urgency.URGENT, "urgent"),
        (Urgency.ROUTINE, "routine"),
    ],
)
def test_a_suggestion_is_a_proposed_task_with_its_reason(
    desk: Desk, urgency: Urgency, priority: str
) -> None:
    suggestion = Suggestion(
        urgency=urgency, reason="because", expires_at=FINISHED + timedelta(hours=1)
    )
    made = prediction(finding())
    bundle = desk.bundle(results.result([desk.image()], made, suggestion=suggestion))
    task = only(bundle, "Task")
    assert (task["status"], task["intent"]) == ("requested", "proposal")
    assert task["priority"] == priority
    assert task["reasonCode"] == {"text": "because"}
    assert task["restriction"] == {"period": {"end": "2026-11-22T18:32:24.000+00:00"}}
    kinds = {e["fullUrl"]: e["resource"]["resourceType"] for e in bundle["entry"]}
    assert kinds[task["focus"]["reference"]] == "ImagingStudy"
    assert kinds[task["requester"]["reference"]] == "Device"


def test_without_a_suggestion_there_is_no_task(desk: Desk) -> None:
    bundle = desk.bundle(results.result([desk.image()], prediction(finding())))
    assert of_kind(bundle, "Task") == []


def test_a_patient_is_sent_only_where_a_uri_says_whose_number_it_is(
    desk: Desk,
) -> None:
    result = results.result([desk.image()], prediction(finding()))
    unknown = desk.bundle(result)
    assert of_kind(unknown, "Patient") == []
    (subject,) = [only(unknown, "Observation")["subject"]]
    assert subject["identifier"]["value"] == "1CT1"
    assert subject["identifier"]["assigner"] == {"display": "HOSP"}
    assert "Doe" not in json.dumps(unknown)

    desk.table = desk.table.model_copy(update={"patient_id_systems": OF_HOSPITAL})
    known = desk.bundle(result)
    person = only(known, "Patient")
    assert person["identifier"][0]["system"] == "urn:oid:1.2.3"
    assert person["name"] == [{"text": "Jane Doe", "family": "Doe", "given": ["Jane"]}]
    assert (person["gender"], person["birthDate"]) == ("female", "1980-01-02")
    (entry,) = [e for e in known["entry"] if e["resource"] is person]
    assert entry["request"]["ifNoneExist"] == "identifier=urn%3Aoid%3A1.2.3%7C1CT1"
    assert only(known, "Observation")["subject"] == {"reference": entry["fullUrl"]}


def test_another_hospitals_number_is_not_taken_for_the_sites_own(desk: Desk) -> None:
    desk.table = desk.table.model_copy(update={"patient_id_systems": OF_HOSPITAL})
    image = desk.image(IssuerOfPatientID="ELSEWHERE")
    bundle = desk.bundle(results.result([image], prediction(finding())))
    assert of_kind(bundle, "Patient") == []


def test_an_issuers_universal_id_is_its_uri(desk: Desk) -> None:
    issuer = Dataset()
    issuer.UniversalEntityID = "1.2.840.99"
    issuer.UniversalEntityIDType = "ISO"
    image = desk.image(IssuerOfPatientIDQualifiersSequence=[issuer])
    bundle = desk.bundle(results.result([image], prediction(finding())))
    person = only(bundle, "Patient")
    assert person["identifier"][0]["system"] == "urn:oid:1.2.840.99"


def test_names_in_three_scripts_are_told_apart(desk: Desk) -> None:
    desk.table = desk.table.model_copy(update={"patient_id_systems": OF_HOSPITAL})
    image = desk.image(
        SpecificCharacterSet="ISO_IR 192", PatientName="Hong^Gildong=洪^吉洞=홍^길동"
    )
    bundle = desk.bundle(results.result([image], prediction(finding())))
    names = only(bundle, "Patient")["name"]
    assert [one["extension"][0]["valueCode"] for one in names] == ["ABC", "IDE", "SYL"]
    assert [one["family"] for one in names] == ["Hong", "洪", "홍"]


@pytest.mark.parametrize(
    "evil",
    ["<script>alert(1)</script>", 'a"b\\c', "\x00\x1b[31m\x07", "&amp;\u202e", "|$,^"],
)
def test_script_and_control_characters_stay_text(desk: Desk, evil: str) -> None:
    desk.table = desk.table.model_copy(update={"patient_id_systems": OF_HOSPITAL})
    concept = CodedConcept(value="X1", scheme="99A", meaning=f"evil {evil}")
    image = desk.image(
        PatientName=f"{evil}^x", PatientID="A|B,C$D", StudyDescription=f"d {evil}"
    )
    made = prediction(finding(concept, note=f"note {evil}"))
    bundle = desk.bundle(results.result([image], made, suggestion=stat(f"r {evil}")))
    told = only(bundle, "Observation")
    assert "<script>" not in told["text"]["div"]
    (coding,) = told["code"]["coding"]
    assert "system" not in coding  # a private scheme has no URI


def test_a_study_without_patient_date_and_accession_is_told_all_the_same(
    desk: Desk,
) -> None:
    image = desk.image(
        PatientID="", PatientName="", AccessionNumber="", StudyDate="", StudyTime=""
    )
    bundle = desk.bundle(results.result([image], prediction(finding())))
    (reason,) = only(bundle, "ImagingStudy")["subject"]["extension"]
    assert reason["valueCode"] == "unknown"
    assert "effectiveDateTime" not in only(bundle, "Observation")


@pytest.mark.parametrize(
    ("attributes", "when"),
    [
        ({"TimezoneOffsetFromUTC": None}, "2026-11-22"),
        ({"StudyTime": "17"}, "2026-11-22"),
        ({"StudyTime": "1732"}, "2026-11-22T17:32:00+01:00"),
        ({"StudyTime": "173200.5"}, "2026-11-22T17:32:00.5+01:00"),
        ({"TimezoneOffsetFromUTC": "+1430"}, "2026-11-22"),
        ({"StudyDate": "20260231"}, None),
    ],
)
def test_a_time_without_its_zone_or_minute_is_a_date(
    desk: Desk, attributes: dict[str, str | None], when: str | None
) -> None:
    bundle = desk.bundle(
        results.result([desk.image(**attributes)], prediction(finding()))
    )
    assert only(bundle, "ImagingStudy").get("started") == when


def test_the_same_finding_of_two_sides_is_two_observations(desk: Desk) -> None:
    made = prediction(finding(laterality=RIGHT), finding(laterality=LEFT), finding())
    twice = prediction(finding(), finding(probability=0.2))
    for told, count in ((made, 3), (twice, 2)):
        bundle = desk.bundle(results.result([desk.image()], told))
        urls = {
            entry["request"]["url"]
            for entry in bundle["entry"]
            if entry["resource"]["resourceType"] == "Observation"
        }
        assert len(urls) == count


def test_a_number_that_is_not_finite_is_no_message(desk: Desk) -> None:
    made = prediction(finding(probability=float("nan"), threshold=None))
    with pytest.raises(ReportError, match="not finite"):
        desk.write(results.result([desk.image()], made))
