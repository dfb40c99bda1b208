"""Attributes that tell stacks at one place apart, and the groups that hold them."""

from typing import Final

# Attribute -> the functional group that holds it in enhanced images. What stands
# first decides first. Source: PS3.3 C.7.6.16.2, C.8.13.5, C.8.15.3.
SEPARATORS: Final = (
    ("TemporalPositionIndex", "FrameContentSequence"),
    ("TemporalPositionIdentifier", ""),
    ("TemporalPositionTimeOffset", "TemporalPositionSequence"),
    ("FrameReferenceTime", ""),
    ("NominalPercentageOfCardiacPhase", "CardiacSynchronizationSequence"),
    ("NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence"),
    ("TriggerTime", ""),
    ("EchoNumbers", ""),
    ("EchoTime", ""),
    ("EffectiveEchoTime", "MREchoSequence"),
    ("InversionTime", ""),
    ("InversionTimes", "MRModifierSequence"),
    ("FlipAngle", "MRTimingAndRelatedParametersSequence"),
    ("DiffusionBValue", "MRDiffusionSequence"),
    ("DiffusionDirectionality", "MRDiffusionSequence"),
    ("KVP", "CTXRayDetailsSequence"),
    ("ConvolutionKernel", "CTReconstructionSequence"),
)
FRAME_TYPES: Final = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XRay3DFrameTypeSequence",
)
# Dimensions that say where a frame is, not which stack it is of.
PLACES: Final = frozenset({0x00209056, 0x00209057, 0x00200032, 0x00201041, 0x00200037})
