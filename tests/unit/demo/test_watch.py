"""What the demo tells of the studies on their way."""

from pathlib import Path

from db.summary import DeliverySummary, JobSummary, StudySummary
from dicom_node.demo.images import Case, Expected
from dicom_node.demo.watch import Watch

CASE = Case(
    name="a chest",
    files=(Path("chest.dcm"),),
    study_instance_uid="1.2",
    expected=Expected.PRESENT,
)


def study(state: str = "ROUTED", *jobs: JobSummary) -> StudySummary:
    return StudySummary(
        study_instance_uid="1.2",
        accession_number="",
        state=state,
        revision=1,
        instances=1,
        jobs=list(jobs),
        ignored_because="Modality is not CR" if state == "IGNORED" else None,
    )


def job(
    state: str = "DONE",
    outcome: str | None = "present",
    *deliveries: DeliverySummary,
    reason: str | None = None,
) -> JobSummary:
    return JobSummary(
        revision=1,
        model="cxr",
        route="all",
        model_version="1",
        priority="normal",
        state=state,
        outcome=outcome,
        reason=reason,
        findings=[
            {
                "code": "233604007",
                "scheme": "SCT",
                "meaning": "Pneumonia",
                "present": outcome == "present",
                "probability": 0.934,
                "value": None,
                "unit": None,
            }
        ]
        if outcome in {"present", "absent"}
        else [],
        deliveries=list(deliveries),
    )


def delivery(state: str, status: str | None, attempts: int = 1) -> DeliverySummary:
    return DeliverySummary(
        destination="pacs",
        kind="sr",
        state=state,
        stage="",
        proof="sent" if state == "DONE" else None,
        attempts=attempts,
        status=status,
        sop_instance_uid="2.25.1",
    )


def _watch(*stages: StudySummary) -> tuple[list[str], Watch]:
    told: list[str] = []
    watch = Watch([CASE], lambda text, style: told.append(text))
    for stage in stages:
        watch.update([stage])
    return told, watch


def test_each_change_is_told_once_in_order() -> None:
    told, watch = _watch(
        study("RECEIVING"),
        study("ROUTED", job("QUEUED", None)),
        study("ROUTED", job("RUNNING", None)),
        study("ROUTED", job("DONE", "present", delivery("QUEUED", None, 0))),
        study("ROUTED", job("DONE", "present", delivery("QUEUED", None, 0))),
        study("ROUTED", job("DONE", "present", delivery("DONE", "0x0000"))),
    )

    assert told == [
        "a chest: the model cxr looks at it",
        "a chest: Pneumonia Present (probability 0.93)",
        "a chest: its report is in the PACS, which answered 0x0000",
    ]
    assert (watch.answered, watch.total) == (1, 1)


def test_what_was_found_is_told_before_its_report_is_delivered() -> None:
    sent = delivery("DONE", "0x0000")
    told, _ = _watch(
        study("ROUTED", job("RUNNING", "present", sent)),
        study("ROUTED", job("DONE", "present", sent)),
    )
    assert told == [
        "a chest: the model cxr looks at it",
        "a chest: Pneumonia Present (probability 0.93)",
        "a chest: its report is in the PACS, which answered 0x0000",
    ]


def test_a_study_waits_for_its_delivery() -> None:
    _, watch = _watch(study("ROUTED", job("DONE", "absent", delivery("QUEUED", None))))

    assert watch.answered == 0


def test_a_delivery_that_is_tried_again_is_told() -> None:
    told, _ = _watch(
        study("ROUTED", job("DONE", "absent", delivery("QUEUED", "0xA700", 1)))
    )

    assert told[-1].endswith("is sent again later")


def test_an_ignored_study_is_answered_with_its_reason() -> None:
    told, watch = _watch(study("IGNORED"))

    assert told == ["a chest: no model looks at it: Modality is not CR"]
    assert watch.answered == 1


def test_an_unevaluated_study_is_answered_with_its_reason() -> None:
    told, watch = _watch(
        study("ROUTED", job("DONE", "not_evaluated", reason="too old"))
    )

    assert told == ["a chest: not evaluated: too old"]
    assert watch.answered == 1


def test_a_file_that_must_be_refused_is_not_waited_for() -> None:
    broken = Case(
        name="broken",
        files=CASE.files,
        study_instance_uid="1.3",
        expected=Expected.REFUSED,
    )

    assert Watch([CASE, broken], lambda text, style: None).total == 1
