"""Looks for an object at an archive by QIDO-RS.

Source: PS3.18 10.6 (Search Transaction).
"""

import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.proof import Commitment, CommitmentAnswer, NotOffered, ProofTerms
from dicom_node.core.types import ReportFile
from dicom_node.deliver.http import HttpAnswer, HttpPeer, HttpRequest, exchange
from dicom_node.deliver.http_status import refused
from dicom_node.deliver.stow_answer import read_attributes

_JSON: Final = "application/dicom+json"
_SOP_INSTANCE_UID: Final = "00080018"
_NO_CONTENT: Final = 204
_NOT_FOUND: Final = 404
# A UID of the form of PS3.5 B.2 that nobody makes: of the nil UUID.
_NOBODYS: Final = "2.25.0"


class QidoProver:
    """Asks one archive with DICOMweb."""

    def __init__(self, settings: DestinationTable) -> None:
        self.terms = ProofTerms(
            commitment=Commitment.OFF,
            wait=timedelta(seconds=settings.commitment_seconds),
            requests=settings.commitment_requests,
            read_back=settings.read_back == "qido",
        )
        self._peer = HttpPeer.from_table(settings)

    @property
    def wanted(self) -> bool:
        """Whether the configuration asks for any proof."""
        return self.terms.read_back

    def request(
        self,
        file: ReportFile,
        transaction_uid: str,
        *,
        on_answer: Callable[[CommitmentAnswer], bool],
        answered: Callable[[], bool],
    ) -> None:
        """Refuse: there is no Storage Commitment here.

        Raises:
            NotOffered: always.
        """
        raise NotOffered(f"{self._peer} is asked by query, not for a commitment")

    def find(self, file: ReportFile) -> bool:
        """Look for the object among the instances of its series.

        Raises:
            NotOffered: the archive answers no queries.
            DeliveryError: it did not answer this one.
        """
        report = file.report
        path = (
            f"/studies/{_study_of(file)}/series/{report.series_instance_uid}/instances"
            f"?SOPInstanceUID={report.sop_instance_uid}"
        )
        answer = _search(self._peer, path)
        if answer.status in (_NO_CONTENT, _NOT_FOUND):
            return False
        found = read_attributes(answer)
        if not found and answer.body.strip() != b"[]":
            raise DeliveryError(
                f"{self._peer} answers a query with something else than DICOM JSON: "
                "see its log",
                retryable=True,
                status=answer.status,
            )
        return any(
            str(report.sop_instance_uid) in map(str, item.get(_SOP_INSTANCE_UID, []))
            for item in found
        )


def check_queries(peer: HttpPeer) -> None:
    """Raise DeliveryError unless the archive answers a query that finds nothing."""
    answer = _search(peer, f"/studies?StudyInstanceUID={_NOBODYS}&limit=1")
    if answer.status == _NOT_FOUND:
        raise refused(peer, answer)


def _search(peer: HttpPeer, path: str) -> HttpAnswer:
    request = HttpRequest(
        method="GET",
        path=quote(path, safe="/?&=."),
        headers={"Accept": _JSON},
    )
    answer = exchange(peer, request)
    if answer.ok or answer.status == _NOT_FOUND:
        return answer
    error = refused(peer, answer)
    if error.retryable:
        raise error
    raise NotOffered(
        f"{error}; if it answers no QIDO-RS, change {peer.setting('read_back')}",
        status=error.status,
    )


def _study_of(file: ReportFile) -> str:
    try:
        with warnings.catch_warnings():  # their text may hold values
            warnings.simplefilter("ignore")
            dataset = dcmread(file.path, specific_tags=["StudyInstanceUID"])
        return str(dataset.StudyInstanceUID)
    except (OSError, InvalidDicomError, AttributeError) as error:
        raise DeliveryError(
            f"the report's file cannot be read ({type(error).__name__}): check the "
            "data folder",
            retryable=True,
        ) from None
