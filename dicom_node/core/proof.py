"""How a destination proves that it has a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from dicom_node.core.errors import DeliveryError
from dicom_node.core.types import ReportFile


class Commitment(StrEnum):
    """What a site wants of Storage Commitment (PS3.4 J)."""

    OFF = "off"
    WANTED = "wanted"  # asked for; a delivery is done without it too
    REQUIRED = "required"  # a delivery without it is a failed one


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofTerms:
    """What a delivery has to be proven by.

    Args:
        wait: how long an answer may take until it is asked for again, and how long
            an object is looked for that is not found at once.
        requests: how often a commitment is asked for, and how often an object is
            sent that the destination did not keep.
        read_back: whether the object is looked for by a query.
    """

    commitment: Commitment
    wait: timedelta
    requests: int
    read_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentAnswer:
    """What an N-EVENT-REPORT says.

    Args:
        committed: SOP Instance UIDs that are kept.
        failed: Failure Reason by SOP Instance UID of those that are not.
    """

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int]


class NotOffered(DeliveryError):
    """The destination does not do what it was asked for, and will not later."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message, retryable=False, status=status)


class NotAsked(DeliveryError):
    """The question did not reach the destination; it may be asked again."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message, retryable=True, status=status)


class Prover(Protocol):
    """Asks a destination for the proof that it has a report."""

    terms: ProofTerms

    def request(
        self,
        file: ReportFile,
        transaction_uid: str,
        *,
        on_answer: Callable[[CommitmentAnswer], bool],
        answered: Callable[[], bool],
    ) -> None:
        """Ask for the commitment, and wait a moment for an answer.

        Args:
            on_answer: records an answer that comes on the same association; says
                whether the transaction is known.
            answered: says whether the answer came another way meanwhile.

        Raises:
            NotOffered, NotAsked: the destination knows nothing of the transaction.
            DeliveryError: it may know of it, and may answer.
        """

    def find(self, file: ReportFile) -> bool:
        """Look for the report at the destination.

        Raises:
            NotOffered: it answers no queries.
            DeliveryError: it did not answer this one.
        """
