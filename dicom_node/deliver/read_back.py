"""Looks for an object at a PACS by C-FIND.

Source: PS3.4 C.4.1 and C.6.2 (Study Root), C.6.1 (Patient Root).
"""

import warnings
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # pynetdicom makes these names at import
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_node.core.errors import DeliveryError
from dicom_node.core.proof import NotOffered
from dicom_node.core.types import ReportFile
from dicom_node.deliver.association import Link, NothingAccepted, associate
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.status import SUCCESS

_MODELS: Final = (
    str(StudyRootQueryRetrieveInformationModelFind),
    str(PatientRootQueryRetrieveInformationModelFind),
)
_SYNTAXES: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_PENDING: Final = (0xFF00, 0xFF01)
# A PACS that does not match by SOP Instance UID answers with whole series.
_MOST_ANSWERS: Final = 10_000


def find_contexts() -> list[PresentationContext]:
    """Return the presentation contexts to propose, the better model first."""
    return [build_context(model, list(_SYNTAXES)) for model in _MODELS]


def find_object(peer: Peer, file: ReportFile) -> bool:
    """Say whether the PACS finds the object at the IMAGE level.

    Raises:
        NotOffered: it answers no such queries.
        DeliveryError: it did not answer this one with success.
    """
    try:
        with associate(peer, find_contexts()) as link:
            offered = {abstract for abstract, _ in link.accepted}
            model = next(model for model in _MODELS if model in offered)
            return _find(link, peer, model, _identifier(file, model))
    except NothingAccepted:
        raise NotOffered(
            f"{peer} answers no C-FIND: enable it there, or change "
            f"{peer.setting('read_back')}"
        ) from None


def _identifier(file: ReportFile, model: str) -> Dataset:
    """Return the keys: unique ones of every level above, in either model."""
    try:
        with warnings.catch_warnings():  # their text may hold values
            warnings.simplefilter("ignore")
            dataset = dcmread(
                file.path, specific_tags=["StudyInstanceUID", "PatientID"]
            )
    except OSError as error:
        raise DeliveryError(
            f"the report's file cannot be read ({type(error).__name__}): check the "
            "data folder",
            retryable=True,
        ) from None
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    if model == _MODELS[1]:
        identifier.PatientID = dataset.get("PatientID") or ""
    identifier.StudyInstanceUID = dataset.StudyInstanceUID
    identifier.SeriesInstanceUID = str(file.report.series_instance_uid)
    identifier.SOPInstanceUID = str(file.report.sop_instance_uid)
    return identifier


def _find(link: Link, peer: Peer, model: str, identifier: Dataset) -> bool:
    wanted = str(identifier.SOPInstanceUID)
    found = False

    def send() -> Dataset:
        nonlocal found
        last = Dataset()
        answers = link.association.send_c_find(identifier, model)
        for count, (status, match) in enumerate(answers, start=1):
            last = status
            if match is not None and str(match.get("SOPInstanceUID", "")) == wanted:
                found = True
            if status.get("Status") not in _PENDING or count >= _MOST_ANSWERS:
                break
        return last

    status = link.ask(send, "C-FIND", limit=peer.timeout_seconds)
    if status != SUCCESS and not found:
        raise DeliveryError(
            f"{peer} answers a C-FIND with status 0x{status:04X}: see its log",
            retryable=True,
            status=status,
        )
    return found
