"""Results as FHIR R4 transactions: preliminary, corrected or withdrawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from config.destinations import DestinationTable
from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.protocols import InstanceStore
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Report
from dicom_node.core.writing import Result
from dicom_node.worklist.fhir_bundle import (
    observations_of,
    read_bundle,
    told_result,
    told_task,
    urn,
    write_bundle,
)
from dicom_node.worklist.fhir_case import Case, Standing, standing_of
from dicom_node.worklist.fhir_resources import logical_subject, patient
from dicom_node.worklist.fhir_values import JSON
from dicom_node.worklist.order import read_order

_DEFAULT: Final = DestinationTable(
    name="preview", kind="fhir", url="https://preview.example"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FHIRWriter:
    """Writes a transaction Bundle for each destination.

    Args:
        reports: where earlier Bundles lie.
    """

    destinations: Mapping[str, DestinationTable]
    reports: InstanceStore

    def write(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> tuple[Report, bytes] | None:
        """Return the Bundle; None when there is no result and nothing to withdraw.

        A destination that is not configured gets the form of the defaults.

        Raises:
            ReportError: no file of the study can be read back.
        """
        table = self.destinations.get(destination, _DEFAULT)
        before = self._read(earlier)
        # What cannot be read any more may have been a result.
        told = earlier is not None and (before is None or told_result(before))
        standing = standing_of(result.prediction, withdraws=told)
        if standing is Standing.NOT_EVALUATED and not table.send_not_evaluated:
            return None
        order = read_order(result.files, result.prediction)
        found = patient(order, table.patient_id_systems)
        case = Case(
            order=order,
            prediction=result.prediction,
            model=result.job.model,
            standing=standing,
            subject=(
                logical_subject(order, table.patient_id_systems)
                if found is None
                else {"reference": urn(found[0])}
            ),
            link=urn,
            suggestion=result.suggestion,
            accession_systems=table.accession_systems,
            told_task=earlier is not None and (before is None or told_task(before)),
        )
        name, content = write_bundle(
            case,
            patient=found,
            withdrawn=observations_of(before or ()),
            seed=f"{destination}|{result.job.revision}",
        )
        report = Report(
            sop_class_uid=SOPClassUID(""),
            sop_instance_uid=SOPInstanceUID(name),
            series_instance_uid=SeriesInstanceUID(""),
            file_key="",
            sha256=sha256(content).hexdigest(),
            kind=ReportKind.FHIR,
            destination=destination,
        )
        return report, content

    def _read(self, earlier: Report | None) -> tuple[JSON, ...] | None:
        """Read what was sent before; None if there is nothing or it is gone."""
        if earlier is None:
            return None
        try:
            return read_bundle(self.reports.path(earlier.file_key).read_bytes())
        except OSError:
            return None
