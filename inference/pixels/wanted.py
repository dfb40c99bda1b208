"""Which elements of a header are wanted, and how their tags stand in a file."""

from typing import Final

from pydicom.tag import BaseTag

from inference.pixels.attributes import tag_of

# All that this package and the selection of series ask a header for.
_KEYWORDS = """
    SpecificCharacterSet ImageType ConversionType SOPClassUID SOPInstanceUID Modality
    StudyInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber AcquisitionNumber
    SeriesDescription BodyPartExamined ViewPosition PatientPosition Laterality
    ImageLaterality SliceThickness SpacingBetweenSlices GantryDetectorTilt
    ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID SliceLocation
    PixelSpacing ImagerPixelSpacing PresentationIntentType LossyImageCompression
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames
    Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    PixelPaddingValue PixelPaddingRangeLimit
    FloatPixelPaddingValue FloatPixelPaddingRangeLimit
    DoubleFloatPixelPaddingValue DoubleFloatPixelPaddingRangeLimit
    RescaleIntercept RescaleSlope RescaleType ModalityLUTSequence
    WindowCenter WindowWidth VOILUTFunction VOILUTSequence PresentationLUTShape
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    DimensionIndexSequence StackID TemporalPositionIndex TemporalPositionIdentifier
    TemporalPositionTimeOffset FrameReferenceTime TriggerTime
    NominalPercentageOfCardiacPhase NominalCardiacTriggerDelayTime
    EchoNumbers EchoTime InversionTime FlipAngle KVP ConvolutionKernel
    DiffusionBValue DiffusionDirectionality DiffusionGradientOrientation
    ContrastBolusAgent ContrastBolusAgentSequence
    ExtendedOffsetTable ExtendedOffsetTableLengths
    RedPaletteColorLookupTableDescriptor RedPaletteColorLookupTableData
    GreenPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableData
    BluePaletteColorLookupTableDescriptor BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData
    SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData
    FloatPixelData DoubleFloatPixelData PixelData
"""
WANTED_KEYWORDS: Final = tuple(_KEYWORDS.split())

PIXEL_ELEMENTS: Final = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}


def as_in_file(tag: int) -> int:
    """Swap the halves: in a file the group comes first, in a 32-bit word last."""
    return (tag & 0xFFFF) << 16 | tag >> 16


# One for each group of overlays, PS3.5 7.6.
OVERLAY_BIT_POSITIONS: Final = tuple(
    BaseTag(0x60000102 + (group << 16)) for group in range(0, 0x20, 2)
)
WANTED: Final = {
    as_in_file(tag): tag
    for tag in (*map(tag_of, WANTED_KEYWORDS), *OVERLAY_BIT_POSITIONS)
}
PIXEL_NUMBERS: Final = {as_in_file(tag): tag for tag in PIXEL_ELEMENTS}
