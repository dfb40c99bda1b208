"""Asks a PACS for the proof that it has an object: Storage Commitment and C-FIND."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from config.destinations import DestinationTable
from dicom_node.core.proof import Commitment, CommitmentAnswer, ProofTerms, Prover
from dicom_node.core.types import ReportFile
from dicom_node.deliver.commitment import request_commitment
from dicom_node.deliver.peer import peer_of
from dicom_node.deliver.qido import QidoProver
from dicom_node.deliver.read_back import find_object


class DicomProver:
    """Asks one PACS."""

    def __init__(self, settings: DestinationTable, calling_ae_title: str) -> None:
        self.terms = ProofTerms(
            commitment=Commitment(settings.commitment),
            wait=timedelta(seconds=settings.commitment_seconds),
            requests=settings.commitment_requests,
            read_back=settings.read_back == "c-find",
        )
        self._peer = peer_of(settings, calling_ae_title)

    @property
    def wanted(self) -> bool:
        """Whether the configuration asks for any proof."""
        return self.terms.read_back or self.terms.commitment is not Commitment.OFF

    def request(
        self,
        file: ReportFile,
        transaction_uid: str,
        *,
        on_answer: Callable[[CommitmentAnswer], bool],
        answered: Callable[[], bool],
    ) -> None:
        """Ask for the commitment, and wait a moment for an answer.

        Raises:
            NotOffered, NotAsked: the PACS knows nothing of the transaction.
            DeliveryError: it may know of it, and may answer.
        """
        request_commitment(
            self._peer,
            file.report,
            transaction_uid,
            on_answer=on_answer,
            answered=answered,
        )

    def find(self, file: ReportFile) -> bool:
        """Look for the object by a query at the IMAGE level.

        Raises:
            NotOffered: the PACS answers no queries.
            DeliveryError: it did not answer this one.
        """
        return find_object(self._peer, file)


def provers_of(
    tables: Iterable[DestinationTable], calling_ae_title: str
) -> dict[str, Prover]:
    """Make what asks those destinations for a proof that have to give one."""
    provers: dict[str, DicomProver | QidoProver] = {}
    for table in tables:
        if table.kind == "dicom":
            provers[table.name] = DicomProver(table, calling_ae_title)
        elif table.kind == "stow":
            provers[table.name] = QidoProver(table)
    return {name: prover for name, prover in provers.items() if prover.wanted}
