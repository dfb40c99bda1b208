"""Which of a delivery's reports may be sent, and whether its file is intact."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from config.destinations import DestinationTable, SRClass
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import ReportFile

SR_CLASS_UIDS: Final[dict[SRClass, str]] = {
    "comprehensive3d": str(Comprehensive3DSRStorage),
    "comprehensive": str(ComprehensiveSRStorage),
    "enhanced": str(EnhancedSRStorage),
}


def kinds_of(settings: DestinationTable) -> tuple[ReportKind, ...]:
    """Return the kinds of objects that a destination gets."""
    return tuple(ReportKind(name) for name in settings.objects)


def sr_classes_of(settings: DestinationTable) -> tuple[str, ...]:
    """Return the UIDs of the SR classes it takes, best first; none without reports."""
    if ReportKind.SR not in kinds_of(settings):
        return ()
    return tuple(SR_CLASS_UIDS[name] for name in settings.sr_classes)


def rank_reports(
    reports: Sequence[ReportFile],
    chosen: SOPInstanceUID | None,
    *,
    sop_class_uids: Sequence[str],
) -> list[ReportFile]:
    """Return the reports that may be sent, best first; only the one chosen before.

    Args:
        sop_class_uids: of structured reports, best first; other kinds have but one.

    Raises:
        DeliveryError: there is none.
    """
    if chosen is not None:
        usable = [r for r in reports if r.report.sop_instance_uid == chosen]
    else:
        rank = {uid: number for number, uid in enumerate(sop_class_uids)}
        usable = [
            r
            for r in reports
            if r.report.kind is not ReportKind.SR or r.report.sop_class_uid in rank
        ]
        usable.sort(key=lambda item: rank.get(item.report.sop_class_uid, 0))
    if not usable:
        raise DeliveryError(
            "nothing was written of this kind, or in an SR class of this destination, "
            "or not what an earlier attempt sent: run `dicom-node replay` on the study",
            retryable=False,
        )
    return usable


def read_report(file: ReportFile) -> bytes:
    """Return the file's bytes.

    Raises:
        DeliveryError: it cannot be read (try again), or it is not what was written.
    """
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise DeliveryError(
            f"the report's file cannot be read ({type(error).__name__}): check the "
            "data folder",
            retryable=True,
        ) from None
    if sha256(content).hexdigest() != file.report.sha256:
        raise DeliveryError(
            "the report's file is not what was written, its digest differs: run "
            "`dicom-node replay` on the study",
            retryable=False,
        )
    return content
