"""The FHIR R4 resources of a result.

Source: HL7 FHIR R4 DiagnosticReport, Device, ImagingStudy, Patient, Task.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from dicom_node.core.states import Urgency
from dicom_node.core.types import CodedConcept
from dicom_node.worklist.fhir_case import Case, Standing, Target, identifier_of
from dicom_node.worklist.fhir_observation import AI_ASSERTED, observe, say
from dicom_node.worklist.fhir_values import (
    JSON,
    birth_date,
    concept,
    gender,
    human_names,
    instant,
    issuer_system,
    narrative,
    started,
    text,
    typed_identifier,
    uid_identifier,
    withheld,
)
from dicom_node.worklist.order import Order

_RADIOLOGY: Final[JSON] = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
            "code": "RAD",
            "display": "Radiology",
        }
    ]
}
_IMAGING: Final = CodedConcept(
    value="18748-4", scheme="LN", meaning="Diagnostic imaging study"
)
_ALGORITHM: Final = CodedConcept(
    value="123110", scheme="DCM", meaning="Artificial Intelligence"
)
# Of FHIR's request-priority, routine < urgent < asap < stat.
_PRIORITIES: Final = {
    Urgency.STAT: "stat",
    Urgency.URGENT: "urgent",
    Urgency.ROUTINE: "routine",
}
_UNREVIEWED: Final = "Made by an algorithm, not reviewed by a person."
_RESEARCH: Final = "For research use only."
_WITHDRAWN: Final = "Withdrawn: a later revision of the study has no result."


def resources(case: Case) -> Iterator[tuple[Target, JSON]]:
    """Return what a result is told by, in an order that a reader may follow.

    Raises:
        ReportError: a number of a finding is not finite.
    """
    yield case.study, imaging_study(case)
    yield case.device, device(case)
    for target, finding in case.observations:
        yield target, observe(case, target, finding)
    yield case.report, diagnostic_report(case)
    if case.suggestion is not None or case.told_task:
        yield case.task, task(case)


def diagnostic_report(case: Case) -> JSON:
    """Return what the model says of the study."""
    conclusion = _conclude(case)
    code = case.order.procedure or _IMAGING
    made: JSON = {
        "resourceType": "DiagnosticReport",
        "meta": AI_ASSERTED,
        "text": narrative(conclusion),
        "identifier": [identifier_of(case.report)],
    }
    if (accession := case.accession()) is not None:
        made["identifier"] = [identifier_of(case.report), accession]
        made["basedOn"] = [{"type": "ServiceRequest", "identifier": accession}]
    made |= {
        "status": case.standing.value,
        "category": [_RADIOLOGY],
        "code": concept(code, words=case.order.procedure_description),
        "subject": case.subject,
    }
    if when := started(case.order):
        made["effectiveDateTime"] = when
    made["issued"] = instant(case.prediction.finished_at)
    if found := [case.refer(target) for target, _ in case.observations]:
        made["result"] = found
    made["imagingStudy"] = [case.refer(case.study)]
    made["conclusion"] = conclusion
    codes = [
        concept(one.concept)
        for _, one in case.observations
        if one.present and one.value is None  # a quantity is no condition
    ]
    if codes:
        made["conclusionCode"] = codes
    return made


def device(case: Case) -> JSON:
    """Return the algorithm. Its Device UID is no UDI: nobody has issued one."""
    made = case.prediction
    found: JSON = {
        "resourceType": "Device",
        "identifier": [identifier_of(case.device)],
        "status": "active",
    }
    if manufacturer := text(made.manufacturer):
        found["manufacturer"] = manufacturer
    found["deviceName"] = [{"name": text(made.model), "type": "model-name"}]
    found["type"] = concept(_ALGORITHM)
    found["version"] = [
        {"value": text(made.model_version)},
        {"type": {"text": "SHA-256 of the weights"}, "value": made.weights_sha256},
    ]
    if made.research_only:
        found["safety"] = [{"text": _RESEARCH}]
    return found


def imaging_study(case: Case) -> JSON:
    """Return the study; its series and instances are the archive's to tell."""
    order = case.order
    identifiers = [uid_identifier(order.study_instance_uid)]
    if (accession := case.accession()) is not None:
        identifiers.append(accession)
    made: JSON = {
        "resourceType": "ImagingStudy",
        "identifier": identifiers,
        "status": "available",
    }
    if modality := text(order.modality):
        said = CodedConcept(value=modality, scheme="DCM", meaning="")
        made["modality"] = _codings(concept(said))
    made["subject"] = case.subject
    if when := started(order):
        made["started"] = when
    if accession is not None:
        made["basedOn"] = [{"type": "ServiceRequest", "identifier": accession}]
    if order.procedure is not None:
        made["procedureCode"] = [concept(order.procedure)]
    if description := text(order.procedure_description):
        made["description"] = description
    return made


def task(case: Case) -> JSON:
    """Return the suggestion to read the study: a proposal, never an order."""
    suggestion, at = case.suggestion, instant(case.prediction.finished_at)
    made: JSON = {
        "resourceType": "Task",
        "identifier": [identifier_of(case.task)],
    }
    if (accession := case.accession()) is not None:
        made["basedOn"] = [{"type": "ServiceRequest", "identifier": accession}]
    if suggestion is None:
        made["status"] = "cancelled"
        made["statusReason"] = {"text": "nothing is suggested any more"}
    else:
        made["status"] = "requested"
    urgency = Urgency.ROUTINE if suggestion is None else suggestion.urgency
    made |= {
        "intent": "proposal",
        "priority": _PRIORITIES[urgency],
        "code": {"text": "AI suggested reading priority"},
        "focus": case.refer(case.study),
        "for": case.subject,
        "authoredOn": at,
        "lastModified": at,
        "requester": case.refer(case.device),
    }
    if suggestion is not None:
        made["reasonCode"] = {"text": text(suggestion.reason) or urgency.value}
        made["reasonReference"] = case.refer(case.report)
        if suggestion.expires_at is not None:
            end = instant(suggestion.expires_at)
            made["restriction"] = {"period": {"end": end}}
    return made


def patient(order: Order, systems: Mapping[str, str]) -> tuple[Target, JSON] | None:
    """Return the patient; None where no URI says whose identifier it is.

    One that is found by its bare number could be somebody else.
    """
    system = issuer_system(order.patient_id_issuer, systems)
    identifier = patient_identifier(order, systems)
    if identifier is None or not system:
        return None
    made: JSON = {"resourceType": "Patient", "identifier": [identifier]}
    if names := human_names(order.patient_name):
        made["name"] = names
    if sex := gender(order):
        made["gender"] = sex
    if born := birth_date(order):
        made["birthDate"] = born
    return Target(kind="Patient", key=f"{system}|{identifier['value']}"), made


def patient_identifier(order: Order, systems: Mapping[str, str]) -> JSON | None:
    """Return the Patient ID as an Identifier, None if the images have none."""
    if not text(order.patient_id):
        return None
    return typed_identifier("MR", order.patient_id, order.patient_id_issuer, systems)


def logical_subject(order: Order, systems: Mapping[str, str]) -> JSON:
    """Return a Reference to the patient by identifier, empty with the reason."""
    identifier = patient_identifier(order, systems)
    if identifier is None:
        return withheld("unknown")
    return {"type": "Patient", "identifier": identifier}


def _conclude(case: Case) -> str:
    made = case.prediction
    if case.standing is Standing.WITHDRAWN:
        said = _WITHDRAWN
    elif case.standing is Standing.NOT_EVALUATED:
        said = "Not evaluated."
    else:
        said = "; ".join(say(finding) for _, finding in case.observations)
        said = f"{said or made.outcome.value}."
    if reason := text(made.reason):
        said += f" {reason}"
    by = f"{text(made.model)} {text(made.model_version)}".strip()
    limits = f" {_RESEARCH}" if made.research_only else ""
    return f"{by}: {said} {_UNREVIEWED}{limits}"


def _codings(made: JSON) -> list[JSON]:
    """Return the Codings of a CodeableConcept."""
    found = made["coding"]
    return found if isinstance(found, list) else []
