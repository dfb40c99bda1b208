"""A destination that takes reports by C-STORE: a PACS."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from config.destinations import DestinationTable, SRClass
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.tls import TLSFiles
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.association import Link, NothingAccepted, associate
from dicom_node.deliver.choose import SR_CLASS_UIDS, rank_reports, read_report
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.status import SUCCESS, read_status

# Explicit first: in it a report leaves as the very bytes on disk.
_SYNTAXES: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a destination answered to a C-ECHO.

    Args:
        seconds: from the call to the end of the association.
        accepted: names of the SR classes it takes, best first.
        refused: names of the SR classes it does not take.
    """

    seconds: float
    accepted: tuple[SRClass, ...]
    refused: tuple[SRClass, ...]


class DicomDestination:
    """Sends the best report that a PACS accepts, always under the same UID."""

    def __init__(self, settings: DestinationTable, calling_ae_title: str) -> None:
        self.name = settings.name
        self.kinds: tuple[ReportKind, ...] = (ReportKind.SR,)
        self.sop_class_uids = tuple(SR_CLASS_UIDS[name] for name in settings.sr_classes)
        self.send_not_evaluated = settings.send_not_evaluated
        self._classes = settings.sr_classes
        self._peer = Peer(
            host=settings.host,
            port=settings.port,
            called_ae_title=settings.ae_title,
            calling_ae_title=calling_ae_title,
            timeout_seconds=settings.timeout_seconds,
            name=settings.name,
            tls=_tls_files(settings) if settings.tls else None,
        )

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
        try:
            with associate(self._peer, _propose(classes)) as link:
                file, syntax = self._choose(candidates, link)
                content = read_report(file)
                dataset = dcmread(BytesIO(content))
                on_chosen(file.report.sop_instance_uid)
                same = syntax == dataset.file_meta.TransferSyntaxUID
                status = link.store(
                    file.path if same else dataset, size_bytes=len(content)
                )
        except NothingAccepted:
            raise self._no_class() from None
        meaning = read_status(status)
        if not meaning.taken:
            raise DeliveryError(
                f"{self._peer} {meaning.text}",
                retryable=meaning.retryable,
                status=status,
            )
        return Sent(status=status, sop_instance_uid=file.report.sop_instance_uid)

    def probe(self) -> Probe:
        """C-ECHO and ask which SR classes would be taken.

        Raises:
            DeliveryError: no association, or the C-ECHO is not answered with success.
        """
        started = time.monotonic()
        contexts = [build_context(Verification), *_propose(self.sop_class_uids)]
        with associate(self._peer, contexts) as link:
            classes = {sop_class for sop_class, _ in link.accepted}
            if str(Verification) in classes and (status := link.echo()) != SUCCESS:
                raise DeliveryError(
                    f"{self._peer} answers a C-ECHO with status 0x{status:04X}: "
                    "see its log",
                    retryable=True,
                    status=status,
                )
        taken = tuple(n for n in self._classes if SR_CLASS_UIDS[n] in classes)
        return Probe(
            seconds=time.monotonic() - started,
            accepted=taken,
            refused=tuple(name for name in self._classes if name not in taken),
        )

    def check(self) -> None:
        """Raise DeliveryError unless the PACS answers and takes an SR class."""
        if not self.probe().accepted:
            raise self._no_class()

    def _choose(
        self, candidates: Sequence[ReportFile], link: Link
    ) -> tuple[ReportFile, str]:
        for file in candidates:
            for syntax in _SYNTAXES:
                if (str(file.report.sop_class_uid), syntax) in link.accepted:
                    return file, syntax
        raise self._no_class()

    def _no_class(self) -> DeliveryError:
        return DeliveryError(
            f"{self._peer} accepts none of the SR classes "
            f"{', '.join(self._classes)}: enable one there, or change "
            f"{self._peer.setting('sr_classes')}",
            retryable=False,
        )


def _tls_files(settings: DestinationTable) -> TLSFiles:
    return TLSFiles(
        ca=settings.ca,
        certificate=settings.certificate,
        private_key=settings.private_key,
        where=f"destination '{settings.name}'",
    )


def _propose(sop_class_uids: Iterable[str]) -> list[PresentationContext]:
    """Offer each class in each syntax apart, so that the sender decides."""
    unique = dict.fromkeys(sop_class_uids)
    return [build_context(uid, syntax) for uid in unique for syntax in _SYNTAXES]
