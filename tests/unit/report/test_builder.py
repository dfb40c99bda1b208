"""The report as a file: UIDs, bytes, what it refuses."""

import hashlib
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import DeviceUID, SeriesInstanceUID, derive_uid, digest_inputs
from dicom_node.core.states import Outcome
from dicom_node.report.builder import (
    COMPREHENSIVE_3D_SR,
    ENHANCED_SR,
    SOP_CLASS_UIDS,
)
from dicom_node.report.measurement import content_items
from dicom_node.report.sop_classes import has_frames, is_image
from tests.unit.report.examples import (
    DEVICE_UID,
    OUTCOMES,
    build_all,
    build_one,
    builder,
    finding,
    prediction_for,
    write_source,
)

REBUILD = """
import hashlib, sys
from pathlib import Path
from tests.unit.report.examples import build_all, input_file, prediction_for
file = input_file(Path(sys.argv[1]))
for _, content in build_all([file], prediction_for([file])):
    print(hashlib.sha256(content).hexdigest())
"""


def test_every_sop_class_gets_its_own_instance_in_one_series(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")

    made = build_all([file], prediction_for([file]))

    digest = digest_inputs([file.sop_instance_uid])
    assert [str(report.sop_instance_uid) for report, _ in made] == [
        derive_uid("1.2.3", digest, DEVICE_UID, uid) for uid in SOP_CLASS_UIDS
    ]
    assert len({report.series_instance_uid for report, _ in made}) == 1
    for report, content in made:
        read = dcmread(BytesIO(content))
        assert content[:132] == bytes(128) + b"DICM"
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert str(read.file_meta.MediaStorageSOPInstanceUID) == report.sop_instance_uid
        assert str(read.SOPClassUID) == report.sop_class_uid
        assert str(read.SOPInstanceUID) == report.sop_instance_uid
        assert str(read.SeriesInstanceUID) == report.series_instance_uid
        assert report.sha256 == hashlib.sha256(content).hexdigest()
        assert report.file_key == ""


def test_a_retry_in_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")
    here = [
        hashlib.sha256(content).hexdigest()
        for _, content in build_all([file], prediction_for([file]))
    ]

    other = subprocess.run(
        [sys.executable, "-c", REBUILD, str(file.path)],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": "."},
    )

    assert other.stdout.split() == here


def test_the_order_of_the_files_changes_no_uid(tmp_path: Path) -> None:
    files = [
        write_source(tmp_path / f"{n}.dcm", SOPInstanceUID=f"1.2.3.4.{n}")
        for n in range(3)
    ]

    forward = build_all(files, prediction_for(files))
    backward = build_all(files[::-1], prediction_for(files))

    assert [one.sop_instance_uid for one, _ in forward] == [
        one.sop_instance_uid for one, _ in backward
    ]


def test_a_success_after_a_failure_is_another_instance(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")

    made = [
        build_all([file], prediction_for([file], kind))[0][0]
        for kind in ("failed", "not_evaluated", "present", "absent")
    ]

    uids = [report.sop_instance_uid for report in made]
    assert len(set(uids)) == 3
    assert uids[2] == uids[3]  # one revision, model and class: one instance


def test_a_second_failed_run_is_another_instance(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")
    first = prediction_for([file], "failed")
    second = replace(first, started_at=first.started_at + timedelta(minutes=1))

    uids = {
        build_all([file], run)[0][0].sop_instance_uid for run in (first, second, first)
    }

    assert len(uids) == 2


def test_another_model_gets_another_series(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")
    prediction = prediction_for([file])

    first = build_all([file], prediction)[0][0]
    other = build_all([file], replace(prediction, device_uid=DeviceUID("2.25.7")))[0][0]

    assert first.series_instance_uid != other.series_instance_uid


def test_a_new_report_names_the_one_before_it_in_its_class(tmp_path: Path) -> None:
    first = write_source(tmp_path / "a.dcm")
    late = write_source(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.5")
    earlier = [report for report, _ in build_all([first], prediction_for([first]))]
    files = [first, late]

    for report, content in build_all(files, prediction_for(files), earlier):
        read = dcmread(BytesIO(content))
        (study,) = read.PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        (item,) = series.ReferencedSOPSequence
        (same,) = [one for one in earlier if one.sop_class_uid == report.sop_class_uid]
        assert study.StudyInstanceUID == read.StudyInstanceUID
        assert series.SeriesInstanceUID == same.series_instance_uid
        assert item.ReferencedSOPInstanceUID == same.sop_instance_uid
        assert item.ReferencedSOPClassUID == same.sop_class_uid
        assert read.InstanceNumber == 2


def test_a_predecessor_in_another_class_is_named_where_there_is_no_other(
    tmp_path: Path,
) -> None:
    first = write_source(tmp_path / "a.dcm")
    late = write_source(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.5")
    ((earlier, _),) = builder().build(
        [first], prediction_for([first]), sop_class_uids=[ENHANCED_SR], predecessors=()
    )

    ((_, content),) = builder().build(
        [first, late],
        prediction_for([first, late]),
        sop_class_uids=[COMPREHENSIVE_3D_SR],
        predecessors=[earlier],
    )

    (study,) = dcmread(BytesIO(content)).PredecessorDocumentsSequence
    item = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert item.ReferencedSOPInstanceUID == earlier.sop_instance_uid


def test_a_report_is_never_its_own_predecessor(tmp_path: Path) -> None:
    file = write_source(tmp_path / "a.dcm")
    same = [report for report, _ in build_all([file], prediction_for([file]))]

    for _, content in build_all([file], prediction_for([file]), same[:1]):
        read = dcmread(BytesIO(content))
        for study in read.get("PredecessorDocumentsSequence", []):
            item = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
            assert item.ReferencedSOPInstanceUID != read.SOPInstanceUID


def test_500_instances_take_less_than_a_second_of_work(tmp_path: Path) -> None:
    files = [
        write_source(tmp_path / f"{n}.dcm", SOPInstanceUID=f"1.2.3.4.{n}")
        for n in range(500)
    ]
    seconds = []
    for _ in range(2):  # the first run pays for imports and tables
        started = time.process_time()
        report = build_one(files, prediction_for(files))
        seconds.append(time.process_time() - started)

    assert min(seconds) < 1
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 500


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_study_without_any_image_can_be_reported(tmp_path: Path, kind: str) -> None:
    file = write_source(
        tmp_path / "sr.dcm",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11",
        Modality="SR",
        Rows=None,
    )

    read = build_one([file], prediction_for([file], kind))

    (study,) = read.CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence) == 1
    assert "IMAGE" not in {item.ValueType for item in content_items(read)}


@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_instance_without_a_series_is_counted_not_cited(
    tmp_path: Path, kind: str
) -> None:
    file = write_source(tmp_path / "cr.dcm", SeriesInstanceUID=None)

    read = build_one([file], prediction_for([file], kind))

    assert "CurrentRequestedProcedureEvidenceSequence" not in read
    texts = {item.get("TextValue") for item in content_items(read)}
    assert "instances not cited for want of a usable UID 1" in texts


def test_the_series_is_read_from_the_file_when_nobody_says_it(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")

    report = build_one(
        [replace(file, series_instance_uid=SeriesInstanceUID(""))],
        prediction_for([file]),
    )

    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert study.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.1"


@pytest.mark.parametrize(
    "changes",
    [
        {"findings": ()},
        {"findings": (finding(True, float("nan")),)},
        {"findings": (finding(True, 1.01),)},
        {"findings": (finding(True, -0.01),)},
        {"model": ""},
        {"model_version": " "},
    ],
)
def test_a_prediction_that_is_none_is_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    file = write_source(tmp_path / "cr.dcm")
    prediction = replace(prediction_for([file]), **changes)  # type: ignore[arg-type]  # any field, by its name

    with pytest.raises(ReportError):
        build_all([file], prediction)


def test_a_class_that_is_no_sr_is_refused(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")

    with pytest.raises(
        ReportError, match=r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.7 is no SR"
    ):
        builder().build(
            [file],
            prediction_for([file]),
            sop_class_uids=["1.2.840.10008.5.1.4.1.1.7"],
            predecessors=(),
        )


def test_no_file_and_no_readable_file_are_refused(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")
    prediction = prediction_for([file])
    file.path.write_bytes(b"Doe^Jane is not DICOM")

    with pytest.raises(ReportError):
        build_all([], prediction)
    with pytest.raises(ReportError) as refused:
        build_all([file], prediction)
    assert "Doe" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_unreadable_file_beside_a_readable_one_does_no_harm(tmp_path: Path) -> None:
    bad = write_source(tmp_path / "bad.dcm", SOPInstanceUID="1.2.3.9")
    good = write_source(tmp_path / "good.dcm")
    bad.path.unlink()

    report = build_one([bad, good], prediction_for([bad, good]))

    assert report.PatientID == "42"


def test_what_was_not_looked_at_is_no_evidence(tmp_path: Path) -> None:
    used = write_source(tmp_path / "a.dcm")
    other = write_source(
        tmp_path / "b.dcm", SOPInstanceUID="1.2.3.5", SeriesInstanceUID="1.2.3.2"
    )

    report = build_one([used, other], prediction_for([used]))

    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.1"


def test_a_failure_before_any_image_cites_the_whole_study(tmp_path: Path) -> None:
    files = [
        write_source(
            tmp_path / f"{n}.dcm",
            SOPInstanceUID=f"1.2.3.4.{n}",
            SeriesInstanceUID=f"1.2.3.{n}",
        )
        for n in (1, 2)
    ]
    prediction = replace(prediction_for(files, "failed"), images=())
    assert prediction.outcome is Outcome.FAILED

    report = build_one(files, prediction)

    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence) == 2


def test_image_classes_and_frames_are_told_by_the_dictionary() -> None:
    ct, enhanced_ct, sr = (
        f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "2.1", "88.33")
    )
    assert is_image(ct)
    assert not has_frames(ct)
    assert is_image(enhanced_ct)
    assert has_frames(enhanced_ct)
    assert not is_image(sr)
    assert not is_image("1.2.3.4")  # private
