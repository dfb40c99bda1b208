"""The demo checks itself: outcomes, reports, validators."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from db.summary import StudySummary
from dicom_node.core.errors import ReportError
from dicom_node.core.states import StudyState, WorkState
from dicom_node.deliver.send import SendSummary
from dicom_node.demo.images import Case, Expected
from dicom_node.demo.watch import is_answered
from dicom_node.report.check import run_dciodvfy
from dicom_node.report.checks import faults_of, kind_of

_CANNOT_UNDERSTAND: Final = range(0xC000, 0xD000)  # PS3.4 B.2.3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so; `fault` is "" if it is."""

    name: str
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is so."""
        return not self.fault


def check_sending(cases: Sequence[Case], summary: SendSummary) -> Iterator[Check]:
    """Check what the node answered to each file."""
    sent = {file.path: file for file in summary.files}
    accepted, faults = 0, []
    for case in cases:
        files = [sent[path] for path in case.files]
        if case.expected is Expected.REFUSED:
            answers = [file.status for file in files]
            refused = all(status in _CANNOT_UNDERSTAND for status in answers)
            fault = "" if refused else "the node should have answered 0xC000"
            yield Check("the broken file was refused, and only that file", fault)
            continue
        accepted += sum(file.taken for file in files)
        faults += [f"{f.path.name}: {f.problem}" for f in files if not f.taken]
    fault = "; ".join(faults[:5]) + (f"; {len(faults)} in all" if faults[5:] else "")
    yield Check(f"the node acknowledged every readable file ({accepted})", fault)


def check_studies(
    cases: Sequence[Case], studies: Sequence[StudySummary]
) -> Iterator[Check]:
    """Check what became of each study."""
    found = {study["study_instance_uid"]: study for study in studies}
    own_files = [case for case in cases if case.expected is Expected.ANSWERED]
    for case in cases:
        study = found.get(case.study_instance_uid)
        if case.expected is Expected.REFUSED:
            fault = "" if study is None else "the node has a study of it"
            yield Check("nothing was kept of the broken file", fault)
        elif case.expected is not Expected.ANSWERED:
            name = f"{case.name}: {_WANTED[case.expected]}"
            yield Check(name, _study_fault(case.expected, study))
    if own_files:
        faults = [
            f"{case.name}: {fault}"
            for case in own_files
            if (
                fault := _study_fault(case.expected, found.get(case.study_instance_uid))
            )
        ]
        name = f"every study has an answer ({len(own_files)})"
        yield Check(name, "; ".join(faults[:5]))


_WANTED: Final[Mapping[Expected, str]] = {
    Expected.PRESENT: "the finding is Present",
    Expected.ABSENT: "the finding is Absent",
    Expected.NOT_EVALUATED: "not evaluated, with the reason",
    Expected.IGNORED: "no model, with the reason",
}


def _study_fault(expected: Expected, study: StudySummary | None) -> str:
    if study is None:
        return "the node does not have it"
    if not is_answered(study):
        return "the node has not finished with it"
    given_up = [job for job in study["jobs"] if job["state"] == WorkState.FAILED]
    if given_up:
        return f"the work was given up: {given_up[-1]['reason'] or 'see the log'}"
    if expected is Expected.ANSWERED:
        return ""
    if expected is Expected.IGNORED:
        explained = study["state"] == StudyState.IGNORED and study["ignored_because"]
        return "" if explained else f"it is {study['state']}, or without a reason"
    outcomes = [job["outcome"] for job in study["jobs"]]
    if outcomes != [expected.value]:
        return f"the outcome is {', '.join(map(str, outcomes)) or 'missing'}"
    if expected is Expected.NOT_EVALUATED and not study["jobs"][0]["reason"]:
        return "there is no reason"
    return ""


def check_deliveries(
    studies: Sequence[StudySummary], reports: Sequence[Path]
) -> Iterator[Check]:
    """Check that the PACS has each report, once, and no other."""
    deliveries = [
        d for study in studies for j in study["jobs"] for d in j["deliveries"]
    ]
    settled = (WorkState.DONE, WorkState.CANCELLED)
    undelivered = sum(item["state"] not in settled for item in deliveries)
    wanted = sorted(
        str(item["sop_instance_uid"])
        for item in deliveries
        if item["state"] == WorkState.DONE
    )
    got = sorted(_uid(path) for path in reports)
    fault = f"{undelivered} are not delivered" if undelivered else ""
    if got != wanted:
        fault = f"the node delivered {len(wanted)}, the PACS has {len(got)}"
    yield Check(f"every report and picture is in the PACS, once ({len(wanted)})", fault)


def check_reports(
    cases: Sequence[Case],
    reports: Sequence[Path],
    *,
    on_progress: Callable[[int], None],
) -> Iterator[Check]:
    """Check where the reports are filed, their content, and their form."""
    places: list[str] = []
    contents: list[str] = []
    forms: list[str] = []
    images = {case.study_instance_uid: case.files[0] for case in cases}
    for number, path in enumerate(reports, start=1):
        try:
            places += _place_faults(path, images)
            contents += _content_faults(path)
            forms += run_dciodvfy(path)
        except (ReportError, InvalidDicomError) as error:
            forms.append(str(error))
        on_progress(number)
    count = len(reports)
    yield Check(
        f"each is in the study of its images, in a series of its own ({count})",
        "; ".join(places[:3]),
    )
    yield Check(
        f"each report and picture says what DICOM asks of it ({count})",
        "; ".join(contents[:3]),
    )
    yield Check(
        f"dciodvfy, an independent validator, finds no error ({count})",
        "; ".join(forms[:3]),
    )


def _content_faults(path: Path) -> list[str]:
    dataset = dcmread(path)
    kind = kind_of(dataset)
    if kind is None:
        return [f"{path.name} is no object that this node writes"]
    return faults_of(kind, dataset)


def _place_faults(path: Path, images: Mapping[str, Path]) -> Iterator[str]:
    report = dcmread(path, stop_before_pixels=True)
    source = images.get(str(report.get("StudyInstanceUID")))
    if source is None:
        yield f"{path.name} is in a study that was not sent"
        return
    image = dcmread(source, stop_before_pixels=True)
    if report.get("SeriesInstanceUID") == image.get("SeriesInstanceUID"):
        yield f"{path.name} is in the series of the images"
    for keyword in ("PatientID", "PatientName", "AccessionNumber"):
        if (report.get(keyword) or "") != (image.get(keyword) or ""):
            yield f"{path.name} has another {keyword} than its images"


def _uid(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).get("SOPInstanceUID"))
