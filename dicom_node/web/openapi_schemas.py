"""What the API's documents look like, as JSON Schema (OpenAPI 3.1 takes 2020-12)."""

from enum import StrEnum
from typing import Any, Final

from db.desk_suggestions import Standing
from dicom_node.core.states import (
    Outcome,
    Priority,
    Proof,
    ReportKind,
    StudyState,
    Urgency,
    WorkState,
)

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
YES_NO: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}


def or_null(schema: Schema) -> Schema:
    """Allow null beside the schema."""
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(values: type[StrEnum]) -> Schema:
    """Allow the words of an enumeration."""
    return {"type": "string", "enum": [value.value for value in values]}


def listed(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object that has all of these, and may get more."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def refer(name: str) -> Schema:
    """Refer to a schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


_COUNTS: Final = record(**{state.value: WHOLE for state in WorkState})
_SUGGESTION: Final = {
    "urgency": one_of(Urgency),
    "reason": TEXT,
    "model": TEXT,
    "model_version": TEXT,
    "revision": WHOLE,
    "created_at": TIME,
    "expires_at": or_null(TIME),
    "standing": one_of(Standing),
}
_FINDING: Final = record(
    code=TEXT,
    scheme=TEXT,
    meaning=TEXT,
    present=or_null(YES_NO),
    probability=NUMBER,
    value=or_null(NUMBER),
    unit=or_null(TEXT),
)
_JOB: Final = {
    "revision": WHOLE,
    "model": TEXT,
    "model_version": or_null(TEXT),
    "priority": {"enum": [item.name.lower() for item in Priority]},
    "state": one_of(WorkState),
    "outcome": or_null(one_of(Outcome)),
    "reason": or_null(TEXT),
    "findings": listed(_FINDING),
}
_STUDY: Final = {
    "study_instance_uid": TEXT,
    "accession_number": TEXT,
    "state": one_of(StudyState),
    "revision": WHOLE,
    "ignored_because": or_null(TEXT),
    "why_no_result": TEXT,
    "why_not_delivered": TEXT,
    "what_to_do": TEXT,
    "modality": TEXT,
    "body_part_examined": TEXT,
    "instances": WHOLE,
    "first_instance_at": TIME,
    "last_instance_at": TIME,
    "complete_at": or_null(TIME),
    "pruned_at": or_null(TIME),
    "suggestions": listed(refer("Suggestion")),
    "jobs": listed(refer("Job")),
    "deliveries": _COUNTS,
}
_VERDICT: Final = record(
    route=TEXT, rule=TEXT, attribute=TEXT, matched=YES_NO, detail=TEXT
)
_REPORT: Final = record(
    kind=one_of(ReportKind),
    destination=TEXT,
    sop_class_uid=TEXT,
    sop_instance_uid=TEXT,
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": record(error=TEXT),
    "Suggestion": record(**_SUGGESTION),
    "Job": record(**_JOB),
    "Study": record(**_STUDY),
    "Story": record(
        **_STUDY,
        series=listed(
            record(
                series_instance_uid=TEXT,
                modality=TEXT,
                description=TEXT,
                instances=WHOLE,
                own_results=WHOLE,
            )
        ),
        decisions=listed(
            record(
                revision=WHOLE,
                decided_at=TIME,
                state=one_of(StudyState),
                ignored_because=or_null(TEXT),
                verdicts=listed(_VERDICT),
            )
        ),
        timeline=listed(record(at=TIME, what=TEXT, detail={"type": "object"})),
        results=listed(
            record(**_JOB, route=TEXT, attempts=WHOLE, reports=listed(_REPORT))
        ),
        suggested=listed(refer("Suggestion")),
        sent=listed(refer("Delivery")),
    ),
    "Patient": record(name=TEXT, patient_id=TEXT, birth_date=TEXT, sex=TEXT),
    "Delivery": record(
        delivery_id=WHOLE,
        study_instance_uid=TEXT,
        accession_number=TEXT,
        model=TEXT,
        revision=WHOLE,
        destination=TEXT,
        kind=one_of(ReportKind),
        state=one_of(WorkState),
        stage=TEXT,
        proof=or_null(one_of(Proof)),
        attempts=WHOLE,
        status=or_null(TEXT),
        reason=or_null(TEXT),
        queued_at=TIME,
        not_before=TIME,
        settled_at=or_null(TIME),
        sent_at=or_null(TIME),
    ),
    "WorklistEntry": record(
        study_instance_uid=TEXT,
        accession_number=TEXT,
        modality=TEXT,
        waiting_since=TIME,
        **_SUGGESTION,
    ),
    "Refusal": record(
        at=TIME,
        calling_ae_title=TEXT,
        called_ae_title=TEXT,
        peer_address=TEXT,
        sop_class_uid=TEXT,
        transfer_syntax_uid=TEXT,
        sop_instance_uid=TEXT,
        study_instance_uid=TEXT,
        accession_number=TEXT,
        status=TEXT,
        reason=TEXT,
        size_bytes=WHOLE,
        what_to_do=TEXT,
        here=YES_NO,
    ),
    "Queues": record(
        receiving=WHOLE,
        jobs=_COUNTS,
        deliveries=_COUNTS,
        oldest_job_at=or_null(TIME),
        oldest_delivery_at=or_null(TIME),
    ),
    "Destination": record(
        name=TEXT,
        kind=or_null(TEXT),
        deliveries=_COUNTS,
        oldest_at=or_null(TIME),
        failures=WHOLE,
        open_until=or_null(TIME),
        failed_at=or_null(TIME),
        succeeded_at=or_null(TIME),
        reason=or_null(TEXT),
    ),
    "Model": record(
        name=TEXT,
        version=or_null(TEXT),
        shipped=YES_NO,
        fault=or_null(TEXT),
        description=TEXT,
        intended_use=TEXT,
        research_only=or_null(YES_NO),
        findings=listed(record(meaning=TEXT, threshold=or_null(NUMBER))),
        performance={
            "type": "object",
            "additionalProperties": record(estimate=NUMBER, low=NUMBER, high=NUMBER),
        },
    ),
    "AuditEntry": record(
        number=WHOLE,
        at=TIME,
        who=TEXT,
        action=TEXT,
        study_id=or_null(WHOLE),
        detail=TEXT,
    ),
}
