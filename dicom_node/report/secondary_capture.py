"""Writes the summary of a result as a Secondary Capture: a picture for every viewer."""

from datetime import tzinfo
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.core.errors import PixelError, ReportError
from dicom_node.core.ids import SOPClassUID, derive_uid, digest_inputs
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Finding, Report
from dicom_node.core.writing import Result
from dicom_node.report.builder import report_uid
from dicom_node.report.encoding import finished_report
from dicom_node.report.evidence import Evidence, gather_evidence
from dicom_node.report.header import (
    Equipment,
    SeriesForm,
    build_common,
    zone_of,
)
from dicom_node.report.legal import plain_text
from dicom_node.report.reading import UNREADABLE, hushed, read_header, text_of
from dicom_node.report.subject import copy_attribute, copy_items
from dicom_node.report.summary_image import (
    Decoding,
    Source,
    choose_source,
    named_frames,
    show,
)
from dicom_node.report.summary_orientation import read_laterality
from dicom_node.report.summary_page import HEIGHT, WIDTH, Panel, draw_page
from dicom_node.report.summary_words import by_weight, write_words

SECONDARY_CAPTURE: Final = SOPClassUID("1.2.840.10008.5.1.4.1.1.7")
_SERIES: Final = SeriesForm(
    modality="OT", parts=("summary",), first_number=9801, title="AI summary"
)
# Modalities whose images carry no text of their own.
_WITHOUT_TEXT: Final = frozenset({"CT", "MR", "CR", "DX", "MG", "PT", "NM", "IO", "PX"})
# Unpaired parts of PS3.16 Annex L: without a side. Of all others a viewer may want it.
_UNPAIRED: Final = (
    "ABDOMEN ABDOMENPELVIS BLADDER BRAIN CERVIX CHEST CHESTABDOMEN CHESTABDPELVIS "
    "COCCYX COLON CSPINE CTSPINE DUODENUM ESOPHAGUS GALLBLADDER HEAD HEADNECK HEART "
    "JAW LARYNX LIVER LSPINE LSSPINE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST "
    "NECKCHESTABDOMEN NECKCHESTABDPELV NOSE PANCREAS PELVIS PENIS PHARYNX PROSTATE "
    "RECTUM SKULL SPINE SPLEEN SSPINE STERNUM STOMACH THYMUS THYROID TLSPINE "
    "TONGUE TRACHEA TSPINE UTERUS VAGINA WHOLEBODY"
)


class SecondaryCaptureWriter:
    """Makes the summary picture of one result.

    No identity is burnt into it: the header has it, viewers show it from there, and a
    study that is merged or de-identified later must not keep a name in its pixels.
    """

    def __init__(self, equipment: Equipment, decoding: Decoding) -> None:
        self._equipment = equipment
        self._decoding = decoding

    def write(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> tuple[Report, bytes] | None:
        """Draw the picture and put it into its object.

        Raises:
            ReportError: the files have no usable header, or it cannot be encoded.
            InferenceError: whether the image may be decoded cannot be tried now.
        """
        try:
            with hushed():
                return self._write(result, earlier)
        except UNREADABLE as error:
            # The libraries quote the value that offends them.
            raise ReportError(
                f"the summary picture could not be encoded ({type(error).__name__})"
            ) from None

    def _write(self, result: Result, earlier: Report | None) -> tuple[Report, bytes]:
        evidence = gather_evidence(result.files, result.prediction)
        made = build_common(
            evidence, result.prediction, self._equipment, series=_SERIES
        )
        made.SOPClassUID = UID(SECONDARY_CAPTURE)
        made.SOPInstanceUID = UID(_instance_uid(result, evidence))
        is_update = earlier is not None and earlier.sop_instance_uid != str(
            made.SOPInstanceUID
        )
        findings = by_weight(result.prediction.findings)
        source = choose_source(evidence, findings[0] if findings else None)
        panel = self._panel(result, source, findings[0] if findings else None)
        words = write_words(
            result.prediction,
            evidence,
            suggestion=result.suggestion,
            finished=result.prediction.finished_at.astimezone(self._zone(evidence)),
            is_update=is_update,
        )
        header = evidence.source
        if source is not None:
            header = read_header(source.file.path) or header
        _add_image(made, header, revision=result.job.revision)
        if source is not None and panel.shown is not None:
            _add_derivation(made, source, header)
        _add_capture(made, self._equipment, result)
        made.PixelData = draw_page(words, panel).tobytes()
        made["PixelData"].VR = "OB"
        return finished_report(
            made,
            evidence.source,
            kind=ReportKind.SC,
            node_version=self._equipment.node_version,
        )

    def _zone(self, evidence: Evidence) -> tzinfo | None:
        return zone_of(evidence.source, self._equipment.local_zone)

    def _panel(
        self, result: Result, source: Source | None, finding: Finding | None
    ) -> Panel:
        if source is None:
            return Panel(shown=None, caption="The study has no image to show.")
        try:
            shown = show(source, result.prediction, self._decoding)
        except PixelError as error:
            return Panel(shown=None, caption=f"The image cannot be shown: {error}.")
        except MemoryError:
            return Panel(shown=None, caption="The image is too large to be shown.")
        frames = source.file.header.number_of_frames
        alone = len(result.prediction.evaluated) == 1
        parts = [_describe(source, finding, alone=alone)]
        if frames > 1:
            parts.append(f"frame {source.frame} of {frames}")
        if source.file.header.instance_number is not None:
            parts.append(f"instance number {source.file.header.instance_number}")
        parts.append(f"shown with {shown.windowing}")
        if shown.edges is None:
            parts.append("orientation not in the file")
        return Panel(shown=shown, caption=" · ".join(parts))


def _describe(source: Source, finding: Finding | None, *, alone: bool) -> str:
    if finding is None or not source.result.scores:
        return "First image, not evaluated"
    if alone:
        return "The image that was evaluated"
    if not source.is_strongest:
        return "One of the images evaluated"
    return "Image with the highest score"


def _instance_uid(result: Result, evidence: Evidence) -> str:
    """Derive the UID as that of the structured report.

    Another suggestion makes another picture.
    """
    uid = report_uid(
        evidence,
        result.prediction,
        digest=digest_inputs(file.sop_instance_uid for file in result.files),
        sop_class_uid=SECONDARY_CAPTURE,
    )
    suggested = result.suggestion.urgency.value if result.suggestion else ""
    return derive_uid("summary", uid, suggested)


def _add_image(made: Dataset, header: Dataset, *, revision: int) -> None:
    """Add General Image and Image Pixel (PS3.3 C.7.6.1, C.7.6.3)."""
    made.InstanceNumber = revision
    # Of the picture as a whole, which has text beside the image.
    made.PatientOrientation = None
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.Rows, made.Columns = HEIGHT, WIDTH
    made.SamplesPerPixel, made.PhotometricInterpretation = 3, "RGB"
    made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    copy_attribute(made, header, "BodyPartExamined")
    _add_laterality(made, header)
    requests = copy_items(header, "RequestAttributesSequence")
    if requests:
        made.RequestAttributesSequence = requests
    _add_burned_in(made, header)


def _add_laterality(made: Dataset, header: Dataset) -> None:
    """Name the side, empty where it is not known (Type 2C, PS3.3 C.7.3.1)."""
    if text_of(made, "BodyPartExamined").upper() not in _UNPAIRED.split():
        made.Laterality = read_laterality(header).replace("B", "")


def _add_burned_in(made: Dataset, source: Dataset) -> None:
    """Say whether the pixels name the patient: only if those of the source do.

    Absent means that nobody knows (PS3.3 C.7.6.1): of ultrasound or photographs whose
    file does not say it, this node does not either.
    """
    said = text_of(source, "BurnedInAnnotation").upper()
    if said in ("YES", "NO"):
        made.BurnedInAnnotation = said
    elif text_of(source, "Modality").upper() in _WITHOUT_TEXT:
        made.BurnedInAnnotation = "NO"
    copy_attribute(made, source, "RecognizableVisualFeatures")


def _add_derivation(made: Dataset, source: Source, header: Dataset) -> None:
    """Name the image that is shown, and what was done to it (PS3.3 C.7.6.1.1.3)."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.file.sop_class_uid
    item.ReferencedSOPInstanceUID = source.file.sop_instance_uid
    frames = named_frames(source)
    if frames:
        item.ReferencedFrameNumber = frames[0]
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [
        _code("121322", "Source image for image processing operation")  # CID 7202
    ]
    made.SourceImageSequence = [item]
    made.DerivationDescription = "Windowed, turned and resampled, with an AI result"
    made.DerivationCodeSequence = [_code("113085", "Spatial resampling")]  # CID 7203
    for keyword in (
        "LossyImageCompression",
        "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
    ):
        copy_attribute(made, header, keyword)


def _add_capture(made: Dataset, equipment: Equipment, result: Result) -> None:
    """Add SC Equipment and SC Image (PS3.3 C.8.6.1, C.8.6.2)."""
    made.ConversionType = "WSD"
    made.SecondaryCaptureDeviceManufacturer = plain_text(equipment.manufacturer, 64)
    made.SecondaryCaptureDeviceManufacturerModelName = plain_text(
        result.prediction.model, 64
    )
    made.SecondaryCaptureDeviceSoftwareVersions = plain_text(equipment.node_version, 64)
    made.DateOfSecondaryCapture = made.InstanceCreationDate
    made.TimeOfSecondaryCapture = made.InstanceCreationTime


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item
