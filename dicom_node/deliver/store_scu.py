"""A destination that takes reports by C-STORE: a PACS."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Final

from pydicom import dcmread

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.association import Link, NothingAccepted, associate
from dicom_node.deliver.choose import kinds_of, rank_reports, read_report, sr_classes_of
from dicom_node.deliver.peer import peer_of
from dicom_node.deliver.probe import (
    SYNTAXES,
    Probe,
    probe,
    propose,
    refused_class,
)
from dicom_node.deliver.status import read_status

_SOP_CLASS_NOT_SUPPORTED: Final = 0x0122


class DicomDestination:
    """Sends each object as a PACS accepts it best, always under the same UID."""

    def __init__(self, settings: DestinationTable, calling_ae_title: str) -> None:
        self.name = settings.name
        self.kinds = kinds_of(settings)
        self.sop_class_uids = sr_classes_of(settings)
        self.send_not_evaluated = settings.send_not_evaluated
        self._settings = settings
        self._peer = peer_of(settings, calling_ae_title)

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        """Send the best report the PACS accepts, or the one chosen before.

        Raises:
            DeliveryError: not taken; `retryable` says whether to try again.
        """
        candidates = rank_reports(reports, chosen, sop_class_uids=self.sop_class_uids)
        classes = [item.report.sop_class_uid for item in candidates]
        kind = candidates[0].report.kind
        try:
            with associate(self._peer, propose(classes)) as link:
                file, syntax = self._choose(candidates, link)
                content = read_report(file)
                dataset = dcmread(BytesIO(content))
                on_chosen(file.report.sop_instance_uid)
                same = syntax == dataset.file_meta.TransferSyntaxUID
                status = link.store(
                    file.path if same else dataset, size_bytes=len(content)
                )
        except NothingAccepted:
            raise self._refuses(kind) from None
        meaning = read_status(status)
        if not meaning.taken:
            setting = "sr_classes" if kind is ReportKind.SR else "objects"
            change = f", or change {self._peer.setting(setting)}"
            raise DeliveryError(
                f"{self._peer} {meaning.text}"
                f"{change if status == _SOP_CLASS_NOT_SUPPORTED else ''}",
                retryable=meaning.retryable,
                status=status,
            )
        return Sent(status=status, sop_instance_uid=file.report.sop_instance_uid)

    def probe(self) -> Probe:
        """Ask what the PACS accepts of all that this node could send or ask.

        Raises:
            DeliveryError: no association, or the C-ECHO is not answered with success.
        """
        return probe(self._peer, self._settings)

    def check(self) -> None:
        """Raise DeliveryError unless the PACS answers and takes what it is to get."""
        if faults := self.probe().faults:
            raise DeliveryError("; ".join(faults), retryable=False)

    def _choose(
        self, candidates: Sequence[ReportFile], link: Link
    ) -> tuple[ReportFile, str]:
        for file in candidates:
            for syntax in SYNTAXES:
                if (str(file.report.sop_class_uid), syntax) in link.accepted:
                    return file, syntax
        raise self._refuses(candidates[0].report.kind)

    def _refuses(self, kind: ReportKind) -> DeliveryError:
        text = refused_class(self._peer, self._settings, kind)
        return DeliveryError(text, retryable=False)
