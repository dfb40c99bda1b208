"""Which SOP classes an IMAGE content item may reference, and which have frames."""

from typing import Final

from pydicom.uid import UID

# Images whose names in PS3.6 do not say so.
_OTHER_IMAGES: Final = {
    "EnhancedUSVolumeStorage",
    "ParametricMapStorage",
    "SegmentationStorage",
}
# Image IODs of a single frame (PS3.3 A.1.4). A Referenced Frame Number is not
# allowed for them, even where a file has several frames all the same. The retired
# ones are here because receivers no longer know what they are.
_SINGLE_FRAME: Final = {
    "ComputedRadiographyImageStorage",
    "CTImageStorage",
    "DermoscopicPhotographyImageStorage",
    "DigitalIntraOralXRayImageStorageForPresentation",
    "DigitalIntraOralXRayImageStorageForProcessing",
    "DigitalMammographyXRayImageStorageForPresentation",
    "DigitalMammographyXRayImageStorageForProcessing",
    "DigitalXRayImageStorageForPresentation",
    "DigitalXRayImageStorageForProcessing",
    "HardcopyColorImageStorage",
    "HardcopyGrayscaleImageStorage",
    "MRImageStorage",
    "NuclearMedicineImageStorageRetired",
    "OphthalmicOpticalCoherenceTomographyEnFaceImageStorage",
    "PositronEmissionTomographyImageStorage",
    "SecondaryCaptureImageStorage",
    "UltrasoundImageStorage",
    "UltrasoundImageStorageRetired",
    "UltrasoundMultiFrameImageStorageRetired",
    "VLEndoscopicImageStorage",
    "VLImageStorageTrial",
    "VLMicroscopicImageStorage",
    "VLMultiFrameImageStorageTrial",
    "VLPhotographicImageStorage",
    "VLSlideCoordinatesMicroscopicImageStorage",
}


def is_image(sop_class_uid: str) -> bool:
    """Say whether an IMAGE content item may reference this SOP class."""
    keyword = UID(sop_class_uid).keyword
    return "ImageStorage" in keyword or keyword in _OTHER_IMAGES


def has_frames(sop_class_uid: str) -> bool:
    """Say whether a reference to this SOP class may name frames."""
    return UID(sop_class_uid).keyword not in _SINGLE_FRAME
