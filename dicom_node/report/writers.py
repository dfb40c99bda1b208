"""What writes a result as objects beside the structured report."""

from dicom_node.core.protocols import ResultWriter
from dicom_node.core.states import ReportKind
from dicom_node.report.header import Equipment
from dicom_node.report.key_objects import KeyObjectWriter
from dicom_node.report.secondary_capture import SecondaryCaptureWriter
from inference.pixels.frames import PixelLimits


def object_writers(
    equipment: Equipment, limits: PixelLimits
) -> dict[ReportKind, ResultWriter]:
    """Make the writers of the summary picture and of the key objects.

    Args:
        limits: what an image may claim to be before it is not drawn.
    """
    return {
        ReportKind.SC: SecondaryCaptureWriter(equipment, limits),
        ReportKind.KOS: KeyObjectWriter(equipment),
    }
