"""What an HTTP status says about a request and about trying it again."""

from typing import Final

from dicom_node.core.errors import DeliveryError
from dicom_node.deliver.http import HttpAnswer, HttpPeer

# An administrator mends what is wrong with the way there, so it is tried again; what
# is wrong with the content stays wrong. The second text names what to change.
_EXACT: Final[dict[int, tuple[bool, str]]] = {
    400: (False, "calls the request malformed: see its log"),
    401: (True, "does not know the credentials: check {credentials}"),
    403: (True, "does not let this node in: allow it there, or check {credentials}"),
    404: (True, "has nothing at this address: check {url}"),
    405: (True, "does not take such requests at this address: check {url}"),
    406: (False, "cannot answer in a form that this node reads: see its log"),
    408: (True, "did not get the request in time"),
    409: (False, "refuses the content: see its log"),
    410: (True, "has nothing at this address any more: check {url}"),
    413: (False, "calls the content too large: raise its limit"),
    415: (False, "does not take this kind of content: allow it there"),
    421: (True, "does not serve this address: check {url}"),
    422: (False, "cannot process the content: see its log"),
    425: (True, "wants the request later"),
    429: (True, "wants fewer requests for now"),
    501: (False, "does not know such requests: check {url}"),
    502: (True, "is a gateway, and what lies behind it does not answer"),
    503: (True, "is out of service for now"),
    504: (True, "is a gateway, and what lies behind it does not answer in time"),
    507: (True, "has no room: make room there"),
}
_REDIRECT: Final = (
    True,
    "sends the request on to another address, which is not followed: name that one in "
    "{url}",
)


def refused(peer: HttpPeer, answer: HttpAnswer) -> DeliveryError:
    """Return the error of an answer that is no success.

    Source: RFC 9110 15.
    """
    retryable, text = _meaning(answer.status)
    if peer.token_file is not None:
        credentials = peer.setting("token_file")
    elif peer.username:
        credentials = peer.setting("username and passcode_file")
    else:
        credentials = peer.setting("token_file, username or certificate")
    text = text.format(url=peer.setting("url"), credentials=credentials)
    error = DeliveryError(
        f"{peer} {text} (HTTP {answer.status})",
        retryable=retryable,
        status=answer.status,
    )
    error.wait_seconds = answer.retry_after_seconds() or 0.0
    return error


def _meaning(status: int) -> tuple[bool, str]:
    if status in _EXACT:
        return _EXACT[status]
    if 300 <= status < 400:
        return _REDIRECT
    if status >= 500:
        return True, "has an error of its own: see its log"
    return False, "refuses the request: see its log"
