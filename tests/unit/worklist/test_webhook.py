"""What a webhook is told of a result."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from config.destinations import DestinationTable
from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.types import Report
from dicom_node.core.writing import Result
from dicom_node.store.files import FileStore
from dicom_node.worklist.webhook import WebhookWriter
from tests.unit.worklist import results
from tests.unit.worklist.results import (
    RIGHT,
    STUDY,
    finding,
    measured,
    nothing,
    prediction,
    stat,
)

SR = Report(
    sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.88.34"),
    sop_instance_uid=SOPInstanceUID("2.25.5"),
    series_instance_uid=SeriesInstanceUID("2.25.6"),
    file_key="0" * 64,
    sha256="0" * 64,
)


@dataclass(slots=True)
class Desk:
    """Where the events of a test are written and kept."""

    folder: Path
    table: DestinationTable = field(
        default_factory=lambda: DestinationTable(
            name="hook",
            kind="webhook",
            url="https://hook.example/",
            secret_file=Path("secret"),
        )
    )

    def write(
        self, result: Result, earlier: Report | None = None
    ) -> tuple[Report, dict[str, Any]] | None:
        """Write an event."""
        store = FileStore(self.folder / "reports", min_free_bytes=0)
        writer = WebhookWriter(destinations={"hook": self.table}, reports=store)
        made = writer.write(result, destination="hook", earlier=earlier)
        if made is None:
            return None
        report, content = made
        return replace(report, file_key=store.put(content)), json.loads(content)

    def sent(
        self, result: Result, earlier: Report | None = None
    ) -> tuple[Report, dict[str, Any]]:
        """Write an event that is there."""
        made = self.write(result, earlier)
        assert made is not None
        return made


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "reports").mkdir()
    return Desk(folder=tmp_path)


def test_an_event_says_what_was_found_and_names_no_patient(desk: Desk) -> None:
    image = results.image_file(desk.folder)
    made = prediction(finding(laterality=RIGHT), measured(41.5, 40.0))
    result = replace(results.result([image], made, suggestion=stat()), report=SR)
    report, event = desk.sent(result)
    assert event["event"] == "result"
    assert event["id"] == report.sop_instance_uid
    assert event["study_instance_uid"] == STUDY
    assert event["accession_number"] == "ACC-1"
    assert event["model"]["name"] == "cxr"
    assert (event["outcome"], event["withdrawn"]) == ("present", False)
    assert event["urgency"] == "STAT"
    assert event["report"]["sop_instance_uid"] == "2.25.5"
    condition, measurement = event["findings"]
    assert condition["concept"]["code"] == "36118008"
    assert (condition["present"], condition["probability"]) == (True, 0.93)
    assert condition["laterality"]["meaning"] == "Right"
    assert (measurement["value"], measurement["unit"]["code"]) == (41.5, "mm")
    assert measurement["probability"] is None
    assert not any(word in json.dumps(event) for word in ("Doe", "1CT1", "1980"))


def test_a_patient_is_named_where_the_site_wants_it(desk: Desk) -> None:
    desk.table = desk.table.model_copy(update={"patient_identity": True})
    image = results.image_file(desk.folder)
    _, event = desk.sent(results.result([image], prediction(finding())))
    assert event["patient"] == {
        "id": "1CT1",
        "issuer": "HOSP",
        "name": "Doe^Jane",
        "birth_date": "19800102",
        "sex": "F",
    }


def test_the_same_result_is_the_same_event_and_another_is_another(desk: Desk) -> None:
    first = desk.sent(results.result([], prediction(finding())))
    assert first == desk.sent(results.result([], prediction(finding())))
    other = desk.sent(results.result([], prediction(finding(probability=0.94))))
    assert first[0].sop_instance_uid != other[0].sop_instance_uid


def test_a_correction_names_what_it_replaces(desk: Desk) -> None:
    report, _ = desk.sent(results.result([], prediction(finding())))
    later = results.result([], prediction(finding(probability=0.1)), revision=2)
    _, event = desk.sent(later, report)
    assert event["supersedes"] == report.sop_instance_uid
    assert (event["outcome"], event["withdrawn"]) == ("absent", False)


def test_a_result_that_is_no_more_is_withdrawn(desk: Desk) -> None:
    report, _ = desk.sent(results.result([], prediction(finding())))
    second, event = desk.sent(results.result([], nothing(), revision=2), report)
    assert (event["outcome"], event["withdrawn"]) == ("not_evaluated", True)
    _, third = desk.sent(results.result([], nothing(), revision=3), second)
    assert third["withdrawn"]  # the one before may never have been sent


def test_what_was_not_evaluated_is_told_only_to_who_wants_it(desk: Desk) -> None:
    assert desk.write(results.result([], nothing())) is None
    desk.table = desk.table.model_copy(update={"send_not_evaluated": True})
    report, event = desk.sent(results.result([], nothing()))
    assert (event["outcome"], event["withdrawn"]) == ("not_evaluated", False)
    _, again = desk.sent(results.result([], nothing(), revision=2), report)
    assert not again["withdrawn"]  # there never was a result


def test_a_withdrawal_does_without_the_earlier_event(desk: Desk) -> None:
    report, _ = desk.sent(results.result([], prediction(finding())))
    lost = replace(report, file_key="0" * 64)
    _, event = desk.sent(results.result([], nothing(), revision=2), lost)
    assert event["withdrawn"]


def test_a_number_that_is_not_finite_is_no_event(desk: Desk) -> None:
    made = prediction(finding(probability=float("inf"), threshold=None))
    with pytest.raises(ReportError, match="not finite"):
        desk.write(results.result([], made))
