"""Builds the DICOM SR of a prediction: TID 1500 in up to three SOP classes."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import (
    SOPClassUID,
    SOPInstanceUID,
    derive_uid,
    digest_inputs,
)
from dicom_node.core.states import Outcome, ReportKind
from dicom_node.core.types import InputFile, Prediction, Report
from dicom_node.report.encoding import finished_forms
from dicom_node.report.evidence import (
    Evidence,
    evidence_items,
    gather_evidence,
    replaced_by,
)
from dicom_node.report.header import Equipment, build_header
from dicom_node.report.measurement import Observer, build_tree
from dicom_node.report.reading import UNREADABLE, hushed

MARKER: Final = "dicom-node"
COMPREHENSIVE_3D_SR: Final = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.34")
COMPREHENSIVE_SR: Final = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.33")
ENHANCED_SR: Final = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.22")
SOP_CLASS_UIDS: Final = (COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, ENHANCED_SR)

_WITHOUT_RESULT: Final = {Outcome.NOT_EVALUATED, Outcome.FAILED}


class StructuredReportBuilder:
    """Makes the structured reports of one prediction.

    Nothing in them comes from a clock or from chance: the same files and the same
    prediction give the same bytes.

    Args:
        manufacturer: of our equipment; the receiver knows its own results by it.
        local_zone: see `header.Equipment`.
    """

    def __init__(
        self,
        *,
        node_version: str,
        manufacturer: str = MARKER,
        device_serial_number: str = "",
        station_name: str = "",
        local_zone: tzinfo | None = None,
    ) -> None:
        self.equipment = Equipment(
            manufacturer=manufacturer,
            node_version=node_version,
            device_serial_number=device_serial_number,
            station_name=station_name,
            local_zone=local_zone,
        )

    def build(
        self,
        files: Sequence[InputFile],
        prediction: Prediction,
        *,
        sop_class_uids: Sequence[str],
        predecessors: Sequence[Report],
    ) -> tuple[tuple[Report, bytes], ...]:
        """Return a report and its Part 10 file for each SOP class.

        The report's `file_key` is "" until a store has given it one.

        Raises:
            ReportError: the files have no usable header, the prediction cannot be
                put in a report, or an SOP class is not one of SOP_CLASS_UIDS.
        """
        unknown = [uid for uid in sop_class_uids if uid not in SOP_CLASS_UIDS]
        if unknown:
            raise ReportError(f"{unknown[0]} is no SR SOP class this node writes")
        try:
            with hushed():
                return self._build(files, prediction, sop_class_uids, predecessors)
        except UNREADABLE as error:
            # The libraries quote the value that offends them.
            raise ReportError(
                f"the report could not be encoded ({type(error).__name__})"
            ) from None

    def _build(
        self,
        files: Sequence[InputFile],
        prediction: Prediction,
        sop_class_uids: Sequence[str],
        predecessors: Sequence[Report],
    ) -> tuple[tuple[Report, bytes], ...]:
        evidence = gather_evidence(files, prediction)
        observer = Observer(
            name=self.equipment.station_name or self.equipment.manufacturer,
            manufacturer=prediction.manufacturer or self.equipment.manufacturer,
            serial_number=self.equipment.device_serial_number,
        )
        shared = build_header(evidence, prediction, self.equipment)
        shared.update(build_tree(prediction, evidence, observer=observer))
        items = evidence_items(evidence.study_instance_uid, evidence.cited)
        if items:
            shared.CurrentRequestedProcedureEvidenceSequence = items
        digest = digest_inputs(file.sop_instance_uid for file in files)
        made = []
        for sop_class_uid in sop_class_uids:
            report = Dataset()
            report.update(shared)
            report.SOPClassUID = UID(sop_class_uid)
            report.SOPInstanceUID = report_uid(
                evidence, prediction, digest=digest, sop_class_uid=sop_class_uid
            )
            replaced = replaced_by(report.SOPInstanceUID, predecessors, sop_class_uid)
            report.InstanceNumber = 1 + len(replaced)
            if replaced:
                report.PredecessorDocumentsSequence = evidence_items(
                    evidence.study_instance_uid, replaced
                )
            made.append(report)
        return finished_forms(
            made,
            evidence.source,
            kind=ReportKind.SR,
            node_version=self.equipment.node_version,
        )


def report_uid(
    evidence: Evidence, prediction: Prediction, *, digest: str, sop_class_uid: str
) -> SOPInstanceUID:
    """Derive the SOP Instance UID of a report.

    A report without a result is another instance than the one a later success
    makes of the same files, and every failed run is one of its own: its reason may
    differ from the last one's.
    """
    outcome = prediction.outcome
    kind: tuple[str, ...] = (outcome.value,) if outcome in _WITHOUT_RESULT else ()
    if outcome is Outcome.FAILED:
        kind = (outcome.value, prediction.started_at.isoformat())
    return SOPInstanceUID(
        derive_uid(
            evidence.study_instance_uid,
            digest,
            prediction.device_uid,
            sop_class_uid,
            *kind,
        )
    )
