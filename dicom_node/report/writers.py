"""What writes a result as objects beside the structured report."""

from dicom_node.core.protocols import ResultWriter
from dicom_node.core.states import ReportKind
from dicom_node.report.header import Equipment
from dicom_node.report.key_objects import KeyObjectWriter
from dicom_node.report.secondary_capture import SecondaryCaptureWriter
from dicom_node.report.summary_image import Decoding
from inference.guard.guard import Guard
from inference.pixels.frames import PixelLimits


def object_writers(
    equipment: Equipment, limits: PixelLimits, guard: Guard
) -> dict[ReportKind, ResultWriter]:
    """Make the writers of the summary picture and of the key objects.

    Args:
        limits: what an image may claim to be before it is not drawn.
        guard: stands beside its decoder.
    """
    decoding = Decoding(limits=limits, guard=guard)
    return {
        ReportKind.SC: SecondaryCaptureWriter(equipment, decoding),
        ReportKind.KOS: KeyObjectWriter(equipment),
    }
