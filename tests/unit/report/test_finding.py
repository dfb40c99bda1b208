"""Measured values, sides and views in the report."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import Outcome
from dicom_node.core.types import CodedConcept, Finding, InputFile, Prediction
from dicom_node.report.check import check_report, run_dciodvfy
from dicom_node.report.finding import shown_value
from dicom_node.report.measurement import content_items
from tests.unit.report.examples import (
    build_all,
    build_one,
    coded,
    finding,
    named,
    prediction_for,
    write_source,
)

BREAST = CodedConcept(value="76752008", scheme="SCT", meaning="Breast")
RIGHT = CodedConcept(value="24028007", scheme="SCT", meaning="Right")
LEFT = CodedConcept(value="7771000", scheme="SCT", meaning="Left")
MLO = CodedConcept(value="399368009", scheme="SCT", meaning="medio-lateral oblique")
# A SNOMED CT code of PS3.16, and a unit of UCUM.
LENGTH = CodedConcept(value="410668003", scheme="SCT", meaning="Length")
MILLIMETER = CodedConcept(value="mm", scheme="UCUM", meaning="millimeter")


@pytest.fixture
def sources(tmp_path: Path) -> list[InputFile]:
    """Two CR images."""
    return [
        write_source(tmp_path / "a.dcm"),
        write_source(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.5"),
    ]


def measured(value: float, **more: object) -> Finding:
    base = finding(None, 0.0, concept=LENGTH, value=value, unit=MILLIMETER)
    return replace(base, **{"threshold": None, "site": None, **more})  # type: ignore[arg-type]  # any field, by its name


def predicted(files: list[InputFile], *findings: Finding) -> Prediction:
    outcome = Outcome.PRESENT if any(one.present for one in findings) else None
    return replace(
        prediction_for(files),
        findings=findings,
        outcome=outcome or Outcome.UNDETERMINED,
    )


def groups(report: Dataset) -> list[Dataset]:
    return named(report, "Measurement Group")


def test_a_measured_value_has_its_unit_and_no_presence(
    sources: list[InputFile],
) -> None:
    report = build_one(sources, predicted(sources, measured(123.4567891)))

    (number,) = [item for item in content_items(report) if item.ValueType == "NUM"]
    assert number.ConceptNameCodeSequence[0].CodeValue == "410668003"
    (value,) = number.MeasuredValueSequence
    assert float(value.NumericValue) == 123.457
    assert value.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert value.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
    assert not named(report, "Probability")
    assert coded(report, "Length") == []
    assert not named(report, "Finding")


def test_a_measured_value_with_a_threshold_is_present_or_absent(
    sources: list[InputFile],
) -> None:
    above = measured(31.0, threshold=30.0, present=True)
    report = build_one(sources, predicted(sources, above))
    assert coded(report, "Length") == ["52101004"]
    assert coded(report, "Finding") == ["410668003"]


def test_a_value_is_shown_on_its_side_of_the_threshold() -> None:
    assert shown_value(measured(29.9999999, threshold=30.0)) == 29.9999999
    assert shown_value(measured(-0.00012345678)) == -0.000123457
    with pytest.raises(ReportError, match="must be a number"):
        shown_value(measured(float("nan")))


def test_a_side_modifies_the_site_and_has_its_own_images(
    sources: list[InputFile],
) -> None:
    right = finding(True, 0.9, site=BREAST, laterality=RIGHT)
    left = replace(right, present=False, probability=0.1, laterality=LEFT)
    right = replace(right, images=(SOPInstanceUID("1.2.3.4"),))
    left = replace(left, images=(SOPInstanceUID("1.2.3.5"),))
    report = build_one(sources, predicted(sources, right, left))

    sites = named(report, "Finding Site")
    sides = [site.ContentSequence[0] for site in sites]
    assert [site.ConceptCodeSequence[0].CodeValue for site in sites] == ["76752008"] * 2
    assert [side.RelationshipType for side in sides] == ["HAS CONCEPT MOD"] * 2
    # PS3.16 TID 1501 and CID 244.
    assert [side.ConceptNameCodeSequence[0].CodeValue for side in sides] == [
        "272741003",
        "272741003",
    ]
    assert [side.ConceptCodeSequence[0].CodeValue for side in sides] == [
        "24028007",
        "7771000",
    ]
    listed = [
        [
            item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            for item in group.ContentSequence
            if item.ValueType == "IMAGE"
        ]
        for group in groups(report)
    ]
    assert listed == [["1.2.3.4"], ["1.2.3.5"]]
    tracked = named(report, "Tracking Unique Identifier")
    assert len({item.UID for item in tracked}) == 2


def test_a_view_is_context_of_its_group(sources: list[InputFile]) -> None:
    report = build_one(sources, predicted(sources, finding(True, 0.9, view=MLO)))
    (view,) = named(report, "Image View")
    assert view.RelationshipType == "HAS ACQ CONTEXT"
    assert view.ConceptNameCodeSequence[0].CodeValue == "111031"
    assert view.ConceptCodeSequence[0].CodeValue == "399368009"


def test_a_group_without_a_side_says_so(sources: list[InputFile]) -> None:
    note = "The laterality is unknown"
    unknown = finding(True, 0.9, note=note)
    known = finding(True, 0.9, laterality=LEFT)
    report = build_one(sources, predicted(sources, unknown, known))
    comments = [item.TextValue for item in named(report, "Comment")]
    assert comments == [note]
    labels = [item.TextValue for item in named(report, "Tracking Identifier")]
    assert labels == ["AI Pneumonia, side or view unknown", "AI Pneumonia, Left"]


def test_a_side_without_a_site_is_refused(sources: list[InputFile]) -> None:
    loose = finding(True, 0.9, site=None, laterality=LEFT)
    with pytest.raises(ReportError, match="has no site"):
        build_one(sources, predicted(sources, loose))


def test_no_validator_finds_a_fault_in_values_sides_and_views(
    sources: list[InputFile], tmp_path: Path
) -> None:
    prediction = predicted(
        sources,
        measured(17.25, site=BREAST, laterality=RIGHT),
        measured(31.0, threshold=30.0, present=True, view=MLO),
        finding(True, 0.9, site=BREAST, laterality=LEFT, note="unpaired"),
    )
    for number, (_, content) in enumerate(build_all(sources, prediction)):
        path = tmp_path / f"report{number}.dcm"
        path.write_bytes(content)
        assert run_dciodvfy(path) == []
        assert check_report(dcmread(BytesIO(content))) == []


def test_a_number_without_its_unit_is_found(sources: list[InputFile]) -> None:
    report = build_one(sources, predicted(sources, measured(17.25)))
    (number,) = [item for item in content_items(report) if item.ValueType == "NUM"]
    del number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    assert "group 1: a number has no unit" in check_report(report)
