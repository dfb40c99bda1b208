"""Small radiographs made here, and a sender that knows what was acknowledged."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)
from pynetdicom import AE
from pynetdicom.association import Association

from tests.peers import Address

SUCCESS = 0x0000


def make_radiograph(
    study_instance_uid: str, *, number: int = 1, size: int = 64
) -> Dataset:
    """Make a chest radiograph of noise; every call is another instance.

    Args:
        size: rows and columns.
    """
    file = Dataset()
    file.SOPClassUID = ComputedRadiographyImageStorage
    file.SOPInstanceUID = generate_uid(prefix=None)
    file.StudyInstanceUID = study_instance_uid
    file.SeriesInstanceUID = f"{study_instance_uid}.1"
    file.Modality = "CR"
    file.PatientName = "Test^Node"
    file.PatientID = "T1"
    file.PatientBirthDate = ""
    file.PatientSex = "O"
    file.PatientAge = "003Y"
    file.StudyDate = "20260102"
    file.StudyTime = "101112"
    file.StudyID = "1"
    file.AccessionNumber = "A1"
    file.ReferringPhysicianName = ""
    file.Manufacturer = "dicom-node tests"
    file.BodyPartExamined = "CHEST"
    file.ViewPosition = "AP"
    file.SeriesNumber = 1
    file.InstanceNumber = number
    file.ImageType = ["ORIGINAL", "PRIMARY"]
    file.PatientOrientation = ["L", "F"]
    file.ImagerPixelSpacing = [0.2, 0.2]
    file.Rows = file.Columns = size
    file.SamplesPerPixel = 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated = 16
    file.BitsStored = 12
    file.HighBit = 11
    file.PixelRepresentation = 0
    noise = np.random.default_rng(number).integers(0, 4096, (size, size))
    file.PixelData = noise.astype("<u2").tobytes()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    return file


def new_study_uid() -> str:
    """Make a Study Instance UID short enough to take a suffix."""
    return str(generate_uid(prefix=None))[:60].rstrip(".")


def save(image: Dataset, folder: Path) -> Path:
    """Write a Part 10 file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{image.SOPInstanceUID}.dcm"
    dcmwrite(path, image, enforce_file_format=True)
    return path


def dataset_digest(image: Dataset) -> str:
    """Digest the data set's bytes as a sender encodes them (Explicit VR LE)."""
    stream = DicomBytesIO()
    stream.is_little_endian = True
    stream.is_implicit_VR = False
    write_dataset(stream, image)
    return hashlib.sha256(stream.getvalue()).hexdigest()


def stored_digests(folder: Path) -> dict[str, str]:
    """Digest the data set's bytes of every finished file of an instance store."""
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        if not path.is_file() or path.name.endswith(".part"):
            continue
        content = path.read_bytes()
        with warnings.catch_warnings(action="ignore"):  # senders' faults stay theirs
            head = dcmread(BytesIO(content), stop_before_pixels=True, force=True)
        # Preamble, prefix and group 0002: its length element is 12 bytes.
        start = 132 + 12 + int(head.file_meta.FileMetaInformationGroupLength)
        digest = hashlib.sha256(content[start:]).hexdigest()
        found[str(head.SOPInstanceUID)] = digest
    return found


@dataclass(slots=True)
class Sender:
    """Sends until each image is acknowledged or the node is gone; keeps a log.

    Args:
        acknowledged: SOP Instance UIDs answered with 0x0000.
    """

    to: Address
    acknowledged: set[str] = field(default_factory=set)

    def send(self, images: Sequence[Dataset]) -> None:
        """Send what is not acknowledged yet, over one association."""
        association = self._associate()
        if not association.is_established:
            return
        try:
            for image in images:
                if image.SOPInstanceUID in self.acknowledged:
                    continue
                status = association.send_c_store(image)
                if "Status" in status and status.Status == SUCCESS:
                    self.acknowledged.add(image.SOPInstanceUID)
        except (RuntimeError, ValueError, OSError):
            return  # the association ended under us: the caller sends again
        finally:
            if association.is_established:
                association.release()

    def _associate(self) -> Association:
        entity = AE(ae_title="SENDER")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
        entity.connection_timeout = 5
        entity.add_requested_context(
            ComputedRadiographyImageStorage, ExplicitVRLittleEndian
        )
        return entity.associate(self.to.host, self.to.port, ae_title=self.to.ae_title)
