"""What a scanner writes around the pixels: about 170 elements, private ones too."""

from collections.abc import Callable
from typing import Final

from pydicom import Dataset
from pydicom.dataset import PrivateBlock
from pydicom.sequence import Sequence

_TEXT: Final = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "InstanceCreationDate": "20260102",
    "InstanceCreationTime": "101112.123456",
    "StudyDate": "20260102",
    "SeriesDate": "20260102",
    "AcquisitionDate": "20260102",
    "ContentDate": "20260102",
    "StudyTime": "101112.000000",
    "SeriesTime": "101140.000000",
    "AcquisitionTime": "101142.123456",
    "ContentTime": "101142.123456",
    "AccessionNumber": "BENCH0001",
    "Manufacturer": "dicom-node benchmarks",
    "InstitutionName": "Phantom Hospital",
    "InstitutionAddress": "1 Phantom Street",
    "ReferringPhysicianName": "Referrer^Phantom",
    "StationName": "BENCH1",
    "StudyDescription": "Thorax phantom",
    "SeriesDescription": "Thorax 1.0 B30f",
    "InstitutionalDepartmentName": "Radiology",
    "PhysiciansOfRecord": "Physician^Phantom",
    "PerformingPhysicianName": "Performer^Phantom",
    "OperatorsName": "Operator^Phantom",
    "AdmittingDiagnosesDescription": "None",
    "ManufacturerModelName": "Phantom 64",
    "PatientName": "Phantom^Water",
    "PatientID": "PHANTOM",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "PatientAge": "055Y",
    "EthnicGroup": "",
    "Occupation": "",
    "PatientComments": "",
    "BodyPartExamined": "CHEST",
    "ScanOptions": "HELICAL MODE",
    "DeviceSerialNumber": "000001",
    "SoftwareVersions": "syngo phantom 1.0",
    "ProtocolName": "Thorax routine",
    "DateOfLastCalibration": "20260101",
    "TimeOfLastCalibration": "060000",
    "ConvolutionKernel": "B30f",
    "PatientPosition": "HFS",
    "ExposureModulationType": "XYZ_EC",
    "RotationDirection": "CW",
    "FilterType": "WEDGE_2",
    "StudyID": "1",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.1",
    "PositionReferenceIndicator": "SN",
    "ImageComments": "water phantom with noise",
    "PhotometricInterpretation": "MONOCHROME2",
    "RescaleType": "HU",
    "WindowCenterWidthExplanation": ["WINDOW1", "WINDOW2"],
    "RequestedProcedureDescription": "CT of the thorax",
    "RequestedContrastAgent": "",
    "PerformedProcedureStepStartDate": "20260102",
    "PerformedProcedureStepStartTime": "101110",
    "PerformedProcedureStepID": "PPS1",
    "PerformedProcedureStepDescription": "CT of the thorax",
    "PerformedStationAETitle": "BENCH1",
    "MedicalAlerts": "",
    "Allergies": "",
    "PregnancyStatus": 4,
    "PatientState": "",
    "CurrentPatientLocation": "",
}
_NUMBERS: Final = {
    "SliceThickness": "1.0",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "380",
    "DistanceSourceToDetector": "949.075",
    "DistanceSourceToPatient": "541",
    "GantryDetectorTilt": "0",
    "TableHeight": "151.5",
    "ExposureTime": "500",
    "XRayTubeCurrent": "180",
    "Exposure": "90",
    "GeneratorPower": "21600",
    "FocalSpots": ["1.2"],
    "SpacingBetweenSlices": "1.0",
    "PatientWeight": "70",
    "PatientSize": "1.75",
    "SeriesNumber": "4",
    "AcquisitionNumber": "1",
    "InstanceNumber": "17",
    "ImagePositionPatient": ["-190", "-190", "-120.5"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "SliceLocation": "-120.5",
    "TemporalPositionIdentifier": "1",
    "SamplesPerPixel": 1,
    "PixelSpacing": ["0.7421875", "0.7421875"],
    "BitsAllocated": 16,
    "SmallestImagePixelValue": 0,
    "LargestImagePixelValue": 4095,
    "WindowCenter": ["40", "-600"],
    "WindowWidth": ["400", "1200"],
    "RescaleIntercept": "0",
    "RescaleSlope": "1",
    "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 38.4,
    "TableSpeed": 64.0,
    "TableFeedPerRotation": 32.0,
    "SpiralPitchFactor": 0.8,
    "CTDIvol": 6.1,
    "RevolutionTime": 0.5,
    "EstimatedDoseSaving": 22.0,
}
_GROUPS: Final = (0x0009, 0x0019, 0x0021, 0x0027, 0x0029, 0x0043)
_ELEMENTS_PER_GROUP: Final = 9


def scanner_attributes(made: Dataset) -> None:
    """Add what a CT scanner writes, with sequences and private groups."""
    for keyword, value in (*_TEXT.items(), *_NUMBERS.items()):
        setattr(made, keyword, value)
    made.ReferencedStudySequence = _items(2, _reference)
    made.ReferencedImageSequence = _items(3, _reference)
    made.ProcedureCodeSequence = _items(1, _code)
    made.AnatomicRegionSequence = _items(1, _code)
    made.RequestAttributesSequence = _items(1, _request)
    for group in _GROUPS:
        block = made.private_block(group, f"BENCH PHANTOM {group:04X}", create=True)
        for element in range(_ELEMENTS_PER_GROUP):
            _add_private(block, element)


def _add_private(block: PrivateBlock, element: int) -> None:
    """Add elements of other VRs in turn, one of them a few KiB long."""
    vr, value = (
        ("LO", "phantom parameter"),
        ("DS", "12.5"),
        ("FD", 0.25),
        ("SL", -17),
        ("OB", bytes(2048)),
        ("UN", bytes(64)),
    )[element % 6]
    block.add_new(element, vr, value)


def _items(number: int, fill: Callable[[Dataset, int], None]) -> Sequence:
    made = [Dataset() for _ in range(number)]
    for index, item in enumerate(made):
        fill(item, index)
    return Sequence(made)


def _reference(item: Dataset, index: int) -> None:
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.7.{index}"


def _code(item: Dataset, _index: int) -> None:
    item.CodeValue = "51185008"
    item.CodingSchemeDesignator = "SCT"
    item.CodeMeaning = "Thorax"


def _request(item: Dataset, _index: int) -> None:
    item.ScheduledProcedureStepDescription = "CT of the thorax"
    item.ScheduledProcedureStepID = "SPS1"
    item.RequestedProcedureID = "RP1"
