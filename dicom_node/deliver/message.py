"""The one message that a delivery of a message kind has."""

from collections.abc import Callable, Sequence

from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import ReportFile
from dicom_node.deliver.choose import read_report


def take_message(
    reports: Sequence[ReportFile],
    chosen: SOPInstanceUID | None,
    on_chosen: Callable[[SOPInstanceUID], None],
) -> tuple[SOPInstanceUID, bytes]:
    """Return the message to send, the one chosen before if an attempt has begun.

    Args:
        on_chosen: is told of it before anything is sent.

    Raises:
        DeliveryError: it is not there, or its file is not intact.
    """
    for file in reports:
        name = file.report.sop_instance_uid
        if chosen in (None, name):
            content = read_report(file)
            on_chosen(name)
            return name, content
    raise DeliveryError(
        "the message is not there, or not the one that an earlier attempt sent: run "
        "`dicom-node replay` on the study",
        retryable=False,
    )
