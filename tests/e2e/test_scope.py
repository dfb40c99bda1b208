"""What the shipped bundle must not judge: no finding, and the right reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    MRImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE

from dicom_node.report.check import check_report
from tests.e2e.conftest import StartNode
from tests.e2e.images import SUCCESS, make_radiograph, new_study_uid
from tests.e2e.node import NodeSettings
from tests.e2e.pacs import StandInPacs
from tests.e2e.test_shipped_bundle import BUNDLE, MODEL
from tests.peers import Address

NOT_ATTEMPTED = "111225"  # CID 6042
_PHOTO: Mapping[str, object] = {
    "SamplesPerPixel": 3,
    "PhotometricInterpretation": "RGB",
    "PlanarConfiguration": 0,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelData": bytes(range(256)) * (64 * 64 * 3 // 256),
}
# What differs from a frontal chest radiograph of a child of three, and the reason. An
# attribute that is None is left out of the file.
CASES: Mapping[str, tuple[Mapping[str, object], str]] = {
    "adult": ({"PatientAge": "045Y"}, "Patient's Age is 45 years"),
    "six years old": ({"PatientAge": "006Y"}, "Patient's Age is 6 years"),
    "newborn": ({"PatientAge": "005D"}, "Patient's Age is below 1 year"),
    "no age": ({"PatientAge": None}, "Patient's Age is missing"),
    "empty age": ({"PatientAge": ""}, "Patient's Age is missing"),
    "lateral": ({"ViewPosition": "LATERAL"}, "View Position is LATERAL"),
    "left lateral": ({"ViewPosition": "LL"}, "View Position is LL"),
    "no view": ({"ViewPosition": None}, "View Position is missing"),
    "hand": ({"BodyPartExamined": "HAND"}, "Body Part Examined is HAND"),
    "no body part": ({"BodyPartExamined": None}, "Body Part Examined is missing"),
    "CT": ({"SOPClassUID": CTImageStorage, "Modality": "CT"}, "Modality is CT"),
    "MR": ({"SOPClassUID": MRImageStorage, "Modality": "MR"}, "Modality is MR"),
    "mammogram": (
        {
            "SOPClassUID": DigitalMammographyXRayImageStorageForPresentation,
            "Modality": "MG",
            "BodyPartExamined": "BREAST",
            "ViewPosition": "CC",
        },
        "Modality is MG",
    ),
    "raw mammogram": (
        {
            "SOPClassUID": DigitalMammographyXRayImageStorageForProcessing,
            "Modality": "MG",
        },
        "Presentation Intent Type is FOR PROCESSING",
    ),
    "localizer": (
        {"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "Image Type says that it is a localizer",
    ),
    "raw radiograph": (
        {"SOPClassUID": DigitalXRayImageStorageForProcessing, "Modality": "DX"},
        "Presentation Intent Type is FOR PROCESSING",
    ),
    "raw by its intent": (
        {
            "SOPClassUID": DigitalXRayImageStorageForPresentation,
            "Modality": "DX",
            "PresentationIntentType": "FOR PROCESSING",
        },
        "Presentation Intent Type is FOR PROCESSING",
    ),
    "screen save": (
        {
            "SOPClassUID": SecondaryCaptureImageStorage,
            "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
        },
        "Image Type says that it is a screen save",
    ),
    "photo": (
        {"SOPClassUID": SecondaryCaptureImageStorage, **_PHOTO},
        "SOP Class UID is Secondary Capture",
    ),
    "photos": (
        {
            "SOPClassUID": MultiFrameTrueColorSecondaryCaptureImageStorage,
            "NumberOfFrames": 1,
            **_PHOTO,
        },
        "SOP Class UID is Secondary Capture",
    ),
    "colour": (_PHOTO, "Samples per Pixel is of colour"),
    "phantom": (
        {"QualityControlImage": "YES"},
        "Quality Control Image says that it is of a phantom",
    ),
    "dog": (
        {"PatientSpeciesDescription": "Canis familiaris"},
        "Patient Species Description is of an animal",
    ),
    "made later": (
        {"ImageType": ["DERIVED", "SECONDARY"]},
        "Image Type says SECONDARY, made after the examination",
    ),
}


def test_images_outside_of_the_scope_get_a_reason_and_never_a_finding(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    _require_bundle()
    studies = {
        name: _image(new_study_uid(), attributes)
        for name, (attributes, _) in CASES.items()
    }
    node = start_node(replace(settings, model=MODEL))
    _send(node.address, list(studies.values()))
    found = node.wait_settled(*(image.StudyInstanceUID for image in studies.values()))
    for name, image in studies.items():
        [job] = found[image.StudyInstanceUID]["jobs"]
        assert (job["state"], job["outcome"]) == ("DONE", "not_evaluated"), name
        assert CASES[name][1] in job["reason"], (name, job["reason"])
        assert job["findings"] == [], name
    assert pacs.arrivals == []


def test_a_mixed_study_rests_on_the_images_within_the_scope_and_names_the_others(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    _require_bundle()
    study = new_study_uid()
    frontal = _image(study, {})
    others = {
        name: _image(study, {**CASES[name][0], "SeriesInstanceUID": f"{study}.{n}"})
        for n, name in enumerate(("lateral", "photo", "localizer", "no age"), start=2)
    }
    node = start_node(replace(settings, model=MODEL))
    _send(node.address, [*others.values(), frontal])
    [job] = node.wait_settled(study)[study]["jobs"]
    assert (job["state"], len(job["findings"])) == ("DONE", 1)
    [arrived] = pacs.of_study(study)
    assert check_report(arrived.dataset) == []
    finding, *left_out = arrived.dataset.ContentSequence[-1].ContentSequence
    assert _images(finding) == [frontal.SOPInstanceUID]
    assert {_status(group) for group in left_out} == {NOT_ATTEMPTED}
    named = {
        uid: _text(group, "Comment") for group in left_out for uid in _images(group)
    }
    assert named.keys() == {image.SOPInstanceUID for image in others.values()}
    for name, image in others.items():
        assert CASES[name][1] in named[image.SOPInstanceUID], name


def _require_bundle() -> None:
    if not BUNDLE.exists():
        pytest.skip("the bundle cxr-pneumonia is not in this tree")


def _image(study: str, attributes: Mapping[str, object]) -> Dataset:
    image = make_radiograph(study)
    for keyword, value in attributes.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image["PixelData"].VR = "OB" if image.BitsAllocated == 8 else "OW"
    return image


def _send(to: Address, images: Sequence[Dataset]) -> None:
    entity = AE(ae_title="MODALITY")
    for sop_class in {image.SOPClassUID for image in images}:
        entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = entity.associate(to.host, to.port, ae_title=to.ae_title)
    assert association.is_established
    for image in images:
        assert association.send_c_store(image).Status == SUCCESS
    association.release()


def _images(group: Dataset) -> list[str]:
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in group.ContentSequence
        if item.ValueType == "IMAGE"
    ]


def _status(group: Dataset) -> str:
    [value] = [
        item.ConceptCodeSequence[0].CodeValue
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Summary of Analyses"
    ]
    return str(value)


def _text(group: Dataset, name: str) -> str:
    [value] = [
        item.TextValue
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == name
    ]
    return str(value)
