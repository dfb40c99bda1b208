"""The one message that a delivery of a message kind has."""

from collections.abc import Sequence

from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import ReportFile


def only_message(
    reports: Sequence[ReportFile], chosen: SOPInstanceUID | None
) -> ReportFile:
    """Return the message to send, the one chosen before if an attempt has begun.

    Raises:
        DeliveryError: it is not there.
    """
    for file in reports:
        if chosen in (None, file.report.sop_instance_uid):
            return file
    raise DeliveryError(
        "the message is not there, or not the one that an earlier attempt sent: run "
        "`dicom-node replay` on the study",
        retryable=False,
    )
