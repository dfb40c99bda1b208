"""The kinds of destinations that there are."""

from config.destinations import DestinationTable
from dicom_node.core.protocols import Destination
from dicom_node.deliver.fhir import FHIRDestination
from dicom_node.deliver.folder import FolderDestination
from dicom_node.deliver.mllp import HL7Destination
from dicom_node.deliver.store_scu import DicomDestination
from dicom_node.deliver.stow import StowDestination
from dicom_node.deliver.webhook import WebhookDestination


def make_destination(table: DestinationTable, *, calling_ae_title: str) -> Destination:
    """Make a destination of its kind.

    Args:
        calling_ae_title: of the node, where it calls by DICOM.
    """
    if table.kind == "folder":
        return FolderDestination(table)
    if table.kind == "stow":
        return StowDestination(table)
    if table.kind == "hl7":
        return HL7Destination(table)
    if table.kind == "fhir":
        return FHIRDestination(table)
    if table.kind == "webhook":
        return WebhookDestination(table)
    return DicomDestination(table, calling_ae_title=calling_ae_title)
