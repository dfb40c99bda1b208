"""A destination that is a FHIR R4 server: each result a transaction."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.fhir_answer import read_answer
from dicom_node.deliver.http import HttpPeer, HttpRequest, exchange
from dicom_node.deliver.http_status import refused
from dicom_node.deliver.message import take_message

_JSON: Final = "application/fhir+json"
_VERSIONS: Final = ("4.0", "4.3")  # R4 and R4B agree on what is sent


class FHIRDestination:
    """POSTs the Bundle to the base of the server."""

    def __init__(self, settings: DestinationTable) -> None:
        self.name = settings.name
        self.kinds: tuple[ReportKind, ...] = (ReportKind.FHIR,)
        self.sop_class_uids: tuple[str, ...] = ()
        self.send_not_evaluated = settings.send_not_evaluated
        self._peer = HttpPeer.from_table(settings)

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        """Send the transaction; done when the server took every entry of it.

        Raises:
            DeliveryError: not taken; `retryable` says whether to try again.
        """
        name, content = take_message(reports, chosen, on_chosen)
        request = HttpRequest(
            method="POST",
            path="",
            headers={
                "Content-Type": f"{_JSON}; charset=utf-8",
                "Accept": _JSON,
                "Prefer": "return=minimal",
            },
            body=content,
        )
        answer = exchange(self._peer, request)
        taken = read_answer(self._peer, answer, _count_entries(content))
        return Sent(status=answer.status, sop_instance_uid=name, note=taken.note)

    def check(self) -> None:
        """Raise DeliveryError unless the server says that it takes transactions."""
        request = HttpRequest(
            method="GET", path="/metadata?_format=json", headers={"Accept": _JSON}
        )
        answer = exchange(self._peer, request)
        if not answer.ok:
            raise refused(self._peer, answer)
        if not answer.whole:
            return  # larger than this node reads, as those of real servers may be
        fault = _fault(answer.body)
        if fault:
            raise DeliveryError(f"{self._peer} {fault}", retryable=False)


def _count_entries(content: bytes) -> int:
    return len(json.loads(content)["entry"])


def _fault(body: bytes) -> str:
    """Say what a CapabilityStatement lacks, as the end of a sentence."""
    nothing = "has no FHIR CapabilityStatement under /metadata: check the url"
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return nothing
    if not isinstance(found, dict) or found.get("resourceType") != (
        "CapabilityStatement"
    ):
        return nothing
    if not str(found.get("fhirVersion", "")).startswith(_VERSIONS):
        return "does not speak FHIR R4: name the base of its R4 endpoint"
    rest = found.get("rest")
    offered = {
        one.get("code")
        for part in (rest if isinstance(rest, list) else [])
        if isinstance(part, dict)
        for one in part.get("interaction") or []
        if isinstance(one, dict)
    }
    # A server that names none of them may still take them: few list everything.
    if offered and "transaction" not in offered:
        return "does not take FHIR transactions: allow them there"
    return ""
