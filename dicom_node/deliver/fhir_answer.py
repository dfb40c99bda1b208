"""What a FHIR server says of a transaction, entry by entry.

Nothing of its texts is kept: an OperationOutcome may quote what was sent.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Final

from dicom_node.core.errors import DeliveryError
from dicom_node.deliver.http import HttpAnswer, HttpPeer
from dicom_node.deliver.http_status import refused

_SEVERE: Final = ("fatal", "error")
# Of FHIR's issue-type: the server's, not the content's; it may pass.
_TRANSIENT: Final = frozenset(
    {
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
    }
)
# Of FHIR's issue-type (R4); only these are quoted, for they are codes.
_ISSUES: Final = _TRANSIENT | {
    "invalid", "structure", "required", "value", "invariant", "security", "login",
    "unknown", "expired", "forbidden", "suppressed", "processing", "not-supported",
    "duplicate", "multiple-matches", "not-found", "deleted", "too-long",
    "code-invalid", "extension", "too-costly", "business-rule", "conflict",
}  # fmt: skip
_MEANINGS: Final = {
    404: "has no such kind of resource: is it the base of a FHIR R4 server?",
    409: "refuses it, as others change the same resources",
    410: "says that a resource of this study was deleted there: restore it, or have it "
    "removed for good",
    412: "has several resources with an identifier of this study: merge them there",
    422: "breaks a rule of the server's profiles: see its log",
}
# Of the address or of a resource: only who answers in FHIR means the resource.
_OF_EITHER: Final = (404, 410)
_DELETED: Final = 410
_MANY_AT_ONCE: Final = 409  # of a transaction: others were quicker


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the server did.

    Args:
        note: why that is less certain than it could be, "" if it is not.
    """

    note: str = ""


def read_answer(peer: HttpPeer, answer: HttpAnswer, entries: int) -> Taken:
    """Say what became of a transaction.

    Args:
        entries: how many were sent.

    Raises:
        DeliveryError: not all of it was taken.

    Source: HL7 FHIR R4 RESTful API 3.1.0.11.2.
    """
    if not answer.ok:
        raise _refusal(peer, answer)
    if answer.whole and not answer.body.strip():
        return Taken(note="the server answered success without details")
    document = _document(answer.body)
    if document is None and not answer.whole:
        raise DeliveryError(
            f"{peer} broke off in the middle of its answer, or said more than 1 MiB: "
            "see its log",
            retryable=True,
            status=answer.status,
        )
    if document is None:
        raise DeliveryError(
            f"{peer} answers success without FHIR JSON: does {peer.setting('url')} "
            "name the base of a FHIR server?",
            retryable=True,
            status=answer.status,
        )
    kind = document.get("resourceType")
    if kind == "OperationOutcome":
        return _only_an_outcome(peer, answer, document)
    if kind != "Bundle" or document.get("type") != "transaction-response":
        raise DeliveryError(
            f"{peer} kept the transaction as it is instead of carrying it out: name "
            f"the base of the FHIR server in {peer.setting('url')}",
            retryable=False,
            status=answer.status,
        )
    _check_entries(peer, document, entries)
    return Taken()


def _check_entries(peer: HttpPeer, document: dict[str, object], entries: int) -> None:
    found = _items(document, "entry")
    statuses = [_status(entry) for entry in found]
    failed = Counter(
        status for status in statuses if status is None or status // 100 != 2
    )
    if failed:
        said = ", ".join(
            f"{count} x {'none' if status is None else f'HTTP {status}'}"
            for status, count in failed.items()
        )
        worst = max((status or 0 for status in failed), default=0)
        raise DeliveryError(
            f"{peer} did not take {failed.total()} of {entries} resources ({said}): "
            "see its log",
            retryable=all(_passes(status) for status in failed),
            status=worst or None,
        )
    if len(found) != entries:
        raise DeliveryError(
            f"{peer} answers for {len(found)} of {entries} resources: see its log",
            retryable=True,
        )


def _status(entry: dict[str, object]) -> int | None:
    """Return the HTTP status of an entry's response, None if it has none."""
    response = entry.get("response")
    if not isinstance(response, dict):
        return None
    code = str(response.get("status", ""))[:3]
    return int(code) if code.isascii() and code.isdigit() else None


def _only_an_outcome(
    peer: HttpPeer, answer: HttpAnswer, outcome: dict[str, object]
) -> Taken:
    if _is_error(outcome):
        raise DeliveryError(
            f"{peer} answers success and an error{_codes(outcome)}: see its log",
            retryable=_is_transient(outcome),
            status=answer.status,
        )
    return Taken(note="the server answered success without details")


def _refusal(peer: HttpPeer, answer: HttpAnswer) -> DeliveryError:
    """Explain a status that is no success, with what FHIR means by it."""
    general = refused(peer, answer)
    outcome = _document(answer.body) or {}
    is_outcome = outcome.get("resourceType") == "OperationOutcome"
    codes = _codes(outcome) if is_outcome else ""
    meaning = _MEANINGS.get(answer.status)
    text = str(general)
    if meaning is not None and (is_outcome or answer.status not in _OF_EITHER):
        text = f"{peer} {meaning} (HTTP {answer.status})"
    retryable = general.retryable or answer.status == _MANY_AT_ONCE
    if is_outcome and answer.status == _DELETED:
        retryable = False
    return DeliveryError(f"{text}{codes}", retryable=retryable, status=answer.status)


def _passes(status: int | None) -> bool:
    return status is not None and (
        status in (408, 409, 425, 429) or (status >= 500 and status != 501)
    )


def _is_transient(outcome: dict[str, object]) -> bool:
    codes = {
        issue.get("code")
        for issue in _items(outcome, "issue")
        if issue.get("severity") in _SEVERE
    }
    return bool(codes) and codes <= _TRANSIENT


def _is_error(outcome: dict[str, object]) -> bool:
    return any(issue.get("severity") in _SEVERE for issue in _items(outcome, "issue"))


def _codes(outcome: dict[str, object]) -> str:
    """Name the issues by their codes, never by their texts."""
    found = dict.fromkeys(
        str(issue.get("code"))
        for issue in _items(outcome, "issue")
        if issue.get("code") in _ISSUES
    )
    return f" [{', '.join(found)}]" if found else ""


def _items(document: dict[str, object], key: str) -> list[dict[str, object]]:
    found = document.get(key)
    if not isinstance(found, list):
        return []
    return [item if isinstance(item, dict) else {} for item in found]


def _document(body: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
