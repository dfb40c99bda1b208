"""The description of the API (OpenAPI 3.1), served at /api/openapi.json."""

from functools import cache
from typing import Any, Final

from dicom_node import __version__
from dicom_node.core.people import Role
from dicom_node.web.api_params import (
    BEFORE,
    DELIVERIES,
    DELIVERY,
    LIMIT,
    PAGING,
    REFUSALS,
    STUDIES,
    UID,
)
from dicom_node.web.openapi_fhir import FHIR_SCHEMAS, fhir_operations
from dicom_node.web.openapi_operation import Operation, describe_operation
from dicom_node.web.openapi_schemas import (
    SCHEMAS,
    WHOLE,
    Schema,
    listed,
    or_null,
    record,
    refer,
)


def _paged(name: str, schema: str) -> Schema:
    return record(**{name: listed(refer(schema))}, next_offset=or_null(WHOLE))


_NO_STUDY: Final = (404, "no study with this UID was received")
_NO_DELIVERY: Final = (404, "there is no delivery with this number")
_LOST: Final = (409, "its state does not allow it")

OPERATIONS: Final = (
    Operation(
        path="/api/openapi.json",
        name="describe",
        text="This description.",
        answer={"type": "object"},
        role=None,
    ),
    Operation(
        path="/api/studies",
        name="listStudies",
        text="Studies, the latest first; every parameter narrows them down.",
        query=STUDIES,
        answer=_paged("studies", "Study"),
        leads_to=tuple(
            (name, UID, "#/studies/0/study_instance_uid")
            for name in ("showStudy", "showPatient", "retryStudy", "replayStudy")
        ),
    ),
    Operation(
        path="/api/studies.csv",
        name="listStudiesAsTable",
        text="The same as a table.",
        query=STUDIES,
        answer={"type": "string"},
        media_type="text/csv",
    ),
    Operation(
        path="/api/studies/{uid}",
        name="showStudy",
        text="One study: its timeline, every rule's verdict, results, deliveries.",
        path_params=(UID,),
        answer=refer("Story"),
        refusals=(_NO_STUDY,),
    ),
    Operation(
        path="/api/studies/{uid}/patient",
        name="showPatient",
        text="Whose study it is, from its file. Takes the right to see names; audited.",
        path_params=(UID,),
        answer=refer("Patient"),
        refusals=((404, "there is no such study, or its files are gone"),),
    ),
    Operation(
        path="/api/studies/{uid}/retry",
        name="retryStudy",
        text="Put the study's failed jobs and deliveries back.",
        path_params=(UID,),
        answer=record(jobs=WHOLE, deliveries=WHOLE),
        changes=True,
        role=Role.OPERATOR,
        refusals=(_NO_STUDY, _LOST),
    ),
    Operation(
        path="/api/studies/{uid}/replay",
        name="replayStudy",
        text="Route the study and infer on it again, as a new revision.",
        path_params=(UID,),
        answer=record(revision=WHOLE),
        changes=True,
        role=Role.OPERATOR,
        refusals=(_NO_STUDY, _LOST),
    ),
    Operation(
        path="/api/deliveries",
        name="listDeliveries",
        text="Deliveries, the latest first.",
        query=DELIVERIES,
        answer=_paged("deliveries", "Delivery"),
        leads_to=tuple(
            (name, DELIVERY, "#/deliveries/0/delivery_id")
            for name in ("showDelivery", "retryDelivery", "resendDelivery")
        ),
    ),
    Operation(
        path="/api/deliveries/{delivery}",
        name="showDelivery",
        text="One delivery.",
        path_params=(DELIVERY,),
        answer=refer("Delivery"),
        refusals=(_NO_DELIVERY,),
    ),
    Operation(
        path="/api/deliveries/{delivery}/retry",
        name="retryDelivery",
        text="Put one failed delivery back.",
        path_params=(DELIVERY,),
        answer=record(delivery_id=WHOLE, state={"const": "QUEUED"}),
        changes=True,
        role=Role.OPERATOR,
        refusals=(_NO_DELIVERY, _LOST),
    ),
    Operation(
        path="/api/deliveries/{delivery}/resend",
        name="resendDelivery",
        text="Send what was delivered again: the same object under the same UID.",
        path_params=(DELIVERY,),
        answer=record(delivery_id=WHOLE, state={"const": "QUEUED"}),
        changes=True,
        role=Role.OPERATOR,
        refusals=(_NO_DELIVERY, _LOST),
    ),
    Operation(
        path="/api/worklist",
        name="showWorklist",
        text="Studies with a suggestion that holds: the most urgent first, then who "
        "has waited longest.",
        query=PAGING,
        answer=_paged("entries", "WorklistEntry"),
    ),
    Operation(
        path="/api/refusals",
        name="listRefusals",
        text="Images that were refused, and why, the latest first.",
        query=REFUSALS,
        answer=_paged("refusals", "Refusal"),
    ),
    Operation(
        path="/api/queues",
        name="showQueues",
        text="The work there is.",
        answer=refer("Queues"),
    ),
    Operation(
        path="/api/destinations",
        name="listDestinations",
        text="Destinations and what became of their deliveries.",
        answer=record(destinations=listed(refer("Destination"))),
    ),
    Operation(
        path="/api/models",
        name="listModels",
        text="Model bundles with what their cards say.",
        answer=record(models=listed(refer("Model"))),
    ),
    Operation(
        path="/api/audit",
        name="listAudit",
        text="Who looked at what and who changed what, the latest first.",
        query=(LIMIT, BEFORE),
        answer=record(entries=listed(refer("AuditEntry"))),
        role=Role.ADMIN,
    ),
)


@cache
def describe() -> dict[str, Any]:
    """Return the description."""
    paths: dict[str, dict[str, Any]] = {}
    for one in (*OPERATIONS, *fhir_operations()):
        method = "post" if one.changes else "get"
        paths.setdefault(one.path, {})[method] = describe_operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dicom-node",
            "version": __version__,
            "description": "What the node's pages show, for programs. Research use "
            "only.",
        },
        "externalDocs": {
            "description": "Results as FHIR R4: the CapabilityStatement of /fhir",
            "url": "/fhir/metadata",
        },
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **FHIR_SCHEMAS},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "made by `dicom-node users token add`",
                }
            },
        },
    }
