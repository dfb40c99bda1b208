"""A destination that takes objects by STOW-RS: an archive with DICOMweb.

Source: PS3.18 10.5 (Store Transaction), 8.6 (multipart payloads).
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.choose import kinds_of, rank_reports, read_report, sr_classes_of
from dicom_node.deliver.http import HttpAnswer, HttpPeer, HttpRequest, exchange
from dicom_node.deliver.http_status import refused
from dicom_node.deliver.qido import check_queries
from dicom_node.deliver.status import read_status
from dicom_node.deliver.stow_answer import StoreAnswer, read_store_answer

_JSON: Final = "application/dicom+json"
_OK: Final = 200
# Failure Reasons that a C-STORE does not have (PS3.18 I.2).
_SYNTAX_NOT_SUPPORTED: Final = 0xC122
_CLASS_NOT_SUPPORTED: Final = 0x0122
# Duplicate SOP Instance, and what Azure's service says instead (0xB00E).
_IT_HAS_IT: Final = (0x0111, 0xB00E)
# What a service may say to a message without an instance: it is there, and lets us in.
_NOTHING_IN_IT: Final = frozenset({400, 409, 411, 415, 422})


class StowDestination:
    """Posts one object at a time, always under the same UID."""

    def __init__(self, settings: DestinationTable) -> None:
        self.name = settings.name
        self.kinds = kinds_of(settings)
        self.sop_class_uids = sr_classes_of(settings)
        self.send_not_evaluated = settings.send_not_evaluated
        self._reads_back = settings.read_back == "qido"
        self._peer = HttpPeer.from_table(settings)

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        """Send the best report, or the one chosen before.

        DICOMweb has no negotiation: what the archive takes shows when it refuses.

        Raises:
            DeliveryError: not taken; `retryable` says whether to try again.
        """
        file = rank_reports(reports, chosen, sop_class_uids=self.sop_class_uids)[0]
        content = read_report(file)
        uid = file.report.sop_instance_uid
        on_chosen(uid)
        answer = exchange(self._peer, _store([content]))
        said = read_store_answer(answer, uid)
        again = chosen is not None
        if said.failed and not (again and said.reason in _IT_HAS_IT):
            raise self._failed(answer, said, file.report.kind)
        if said.failed:
            note = "it was there already"
        elif not answer.ok:
            raise refused(self._peer, answer)
        elif said.foreign:
            raise self._foreign(answer)
        elif not (said.named or _says_all(answer, said)):
            raise self._unnamed(answer)
        else:
            note = _warning(said)
        return Sent(status=answer.status, sop_instance_uid=uid, note=note)

    def check(self) -> None:
        """Raise DeliveryError unless the archive takes messages, and queries if asked.

        The message holds no instance, so that nothing can come of it.
        """
        answer = exchange(self._peer, _store([]))
        if not answer.ok and answer.status not in _NOTHING_IN_IT:
            raise refused(self._peer, answer)
        if answer.ok and read_store_answer(answer, "").foreign:
            raise self._foreign(answer)
        if self._reads_back:
            check_queries(self._peer)

    def _failed(
        self, answer: HttpAnswer, said: StoreAnswer, kind: ReportKind
    ) -> DeliveryError:
        """Return the error of an instance that was refused by name."""
        if said.reason is None:
            text, retryable = "refuses the object without a reason: see its log", False
        elif said.reason == _CLASS_NOT_SUPPORTED:
            setting = "sr_classes" if kind is ReportKind.SR else "objects"
            text = (
                "does not store this SOP class: allow it there, or take it out of "
                f"{self._peer.setting(setting)} (reason 0x0122)"
            )
            retryable = False
        elif said.reason == _SYNTAX_NOT_SUPPORTED:
            text = (
                "does not take Explicit VR Little Endian: allow it there (reason "
                "0xC122)"
            )
            retryable = False
        else:
            meaning = read_status(said.reason)
            text, retryable = meaning.text, meaning.retryable
            if meaning.taken:  # a warning, yet among what failed
                text = f"did not store the object (reason 0x{said.reason:04X})"
        return DeliveryError(
            f"{self._peer} {text}, HTTP {answer.status}",
            retryable=retryable,
            status=answer.status,
        )

    def _foreign(self, answer: HttpAnswer) -> DeliveryError:
        return DeliveryError(
            f"{self._peer} answers HTTP {answer.status} with something else than DICOM "
            f"JSON or XML: does {self._peer.setting('url')} name the DICOMweb service, "
            "and does it let the node in?",
            retryable=True,
            status=answer.status,
        )

    def _unnamed(self, answer: HttpAnswer) -> DeliveryError:
        return DeliveryError(
            f"{self._peer} answers HTTP {answer.status} and does not say that it "
            "stored the object: see its log",
            retryable=True,
            status=answer.status,
        )


def _says_all(answer: HttpAnswer, said: StoreAnswer) -> bool:
    """Say whether everything is stored though nothing is named (PS3.18 10.5.3.1)."""
    return answer.status == _OK and answer.whole and not said.lists


def _warning(said: StoreAnswer) -> str:
    if said.reason is None:
        return ""
    return f"stored with a warning (reason 0x{said.reason:04X})"


def _store(instances: Sequence[bytes]) -> HttpRequest:
    """Return the request to store instances; the same bytes for the same ones.

    The boundary is made of a digest of what it stands between, so that it cannot be in
    there.
    """
    digest = sha256()
    for content in instances:
        digest.update(content)
    boundary = f"dicom-node-{digest.hexdigest()[:40]}"
    parts = [
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        + content
        + b"\r\n"
        for content in instances
    ]
    return HttpRequest(
        method="POST",
        path="/studies",
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; '
            f"boundary={boundary}",
            "Accept": _JSON,
        },
        body=b"".join([*parts, f"--{boundary}--\r\n".encode()]),
    )
