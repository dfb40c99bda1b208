"""Results as JSON events for a webhook."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

from config.destinations import DestinationTable
from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.protocols import InstanceStore
from dicom_node.core.states import Outcome, ReportKind
from dicom_node.core.types import CodedConcept, Finding, Report
from dicom_node.core.writing import Result
from dicom_node.worklist.order import Order, read_order

JSON = dict[str, object]

VERSION: Final = 1  # of the event; a field may be added without another version
_NAMESPACE: Final = UUID("f6ef9d8d-d912-5abe-be82-f9561c75f4ab")
_WITHOUT_RESULT: Final = (Outcome.NOT_EVALUATED, Outcome.FAILED)
_DEFAULT: Final = DestinationTable(
    name="preview",
    kind="webhook",
    url="https://preview.example",
    secret_file=Path("preview"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookWriter:
    """Writes the event "result" for each destination.

    Args:
        reports: where earlier events lie.
    """

    destinations: Mapping[str, DestinationTable]
    reports: InstanceStore

    def write(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> tuple[Report, bytes] | None:
        """Return the event; None when there is no result and none to withdraw.

        A destination that is not configured gets the form of the defaults.

        Raises:
            ReportError: a number is not finite, or the patient is to be named and no
                file of the study can be read back.
        """
        table = self.destinations.get(destination, _DEFAULT)
        withdraws = (
            result.prediction.outcome in _WITHOUT_RESULT
            and earlier is not None
            and self._told_result(earlier)
        )
        if result.prediction.outcome in _WITHOUT_RESULT and not (
            withdraws or table.send_not_evaluated
        ):
            return None
        event = _event(result, withdraws=withdraws)
        if table.patient_identity:
            event["patient"] = _patient(read_order(result.files, result.prediction))
        seed = f"{destination}|{_encode(event).decode()}"
        name = str(uuid5(_NAMESPACE, seed))
        supersedes = None if earlier is None else earlier.sop_instance_uid
        content = _encode({"id": name, **event, "supersedes": supersedes})
        report = Report(
            sop_class_uid=SOPClassUID(""),
            sop_instance_uid=SOPInstanceUID(name),
            series_instance_uid=SeriesInstanceUID(""),
            file_key="",
            sha256=sha256(content).hexdigest(),
            kind=ReportKind.WEBHOOK,
            destination=destination,
        )
        return report, content

    def _told_result(self, earlier: Report) -> bool:
        """Say whether a result was told, or withdrawn by what was perhaps not sent."""
        try:
            event = json.loads(self.reports.path(earlier.file_key).read_bytes())
        except (OSError, ValueError, RecursionError):
            return True  # it may have been
        if not isinstance(event, dict):
            return True
        return bool(event.get("withdrawn")) or (
            event.get("outcome") not in _WITHOUT_RESULT
        )


def _event(result: Result, *, withdraws: bool) -> JSON:
    made, suggestion = result.prediction, result.suggestion
    report = result.report
    return {
        "event": "result",
        "version": VERSION,
        "created": made.finished_at.isoformat(),
        "study_instance_uid": result.study.study_instance_uid,
        "accession_number": result.study.accession_number,
        "revision": result.job.revision,
        "model": {
            "name": made.model,
            "version": made.model_version,
            "device_uid": made.device_uid,
        },
        "research_only": made.research_only,
        "outcome": made.outcome.value,
        "withdrawn": withdraws,
        "reason": made.reason,
        "findings": [_finding(finding) for finding in made.findings],
        "urgency": None if suggestion is None else suggestion.urgency.value,
        "urgency_reason": "" if suggestion is None else suggestion.reason,
        "urgency_expires": (
            suggestion.expires_at.isoformat()
            if suggestion is not None and suggestion.expires_at is not None
            else None
        ),
        "report": (
            None
            if report is None
            else {
                "sop_class_uid": report.sop_class_uid,
                "sop_instance_uid": report.sop_instance_uid,
            }
        ),
    }


def _finding(finding: Finding) -> JSON:
    measured = finding.value is not None
    return {
        "concept": _concept(finding.concept),
        "present": finding.present,
        "probability": None if measured else finding.probability,
        "value": finding.value,
        "unit": _concept(finding.unit),
        "threshold": finding.threshold,
        "site": _concept(finding.site),
        "laterality": _concept(finding.laterality),
        "view": _concept(finding.view),
        "note": finding.note,
    }


def _concept(concept: CodedConcept | None) -> JSON | None:
    if concept is None:
        return None
    return {
        "code": concept.value,
        "scheme": concept.scheme,
        "meaning": concept.meaning,
    }


def _patient(order: Order) -> JSON:
    return {
        "id": order.patient_id,
        "issuer": order.patient_id_issuer.namespace,
        "name": order.patient_name,
        "birth_date": order.birth_date,
        "sex": order.sex,
    }


def _encode(document: JSON) -> bytes:
    """Encode JSON; lone surrogates of a broken text stay escaped.

    Raises:
        ReportError: a number is not finite.
    """
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise ReportError("a finding holds a number that is not finite") from None
