"""A destination that is a webhook: each result a signed POST.

A receiver verifies `X-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA-256 of
`SECONDS.BODY` under the secret that both sides have, and takes an `Idempotency-Key`
that it has seen before for a repeat.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from config.destinations import DestinationTable
from dicom_node.core.clock import Clock, SystemClock
from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.http import HttpAnswer, HttpPeer, HttpRequest, exchange, reach
from dicom_node.deliver.http_peer import read_secret
from dicom_node.deliver.http_status import refused
from dicom_node.deliver.message import take_message

_SHORTEST_SECRET: Final = 16
_CONFLICT: Final = 409  # an earlier attempt of the same key is still in hand there


class WebhookDestination:
    """POSTs the event with a signature; any 2xx is an acknowledgement.

    Raises:
        ConfigError: there is no secret to sign with.
    """

    def __init__(
        self, settings: DestinationTable, *, clock: Clock | None = None
    ) -> None:
        if settings.secret_file is None:
            raise ConfigError(
                f"destination '{settings.name}' of kind 'webhook' needs secret_file"
            )
        self.name = settings.name
        self.kinds: tuple[ReportKind, ...] = (ReportKind.WEBHOOK,)
        self.sop_class_uids: tuple[str, ...] = ()
        self.send_not_evaluated = settings.send_not_evaluated
        self._secret_file: Path = settings.secret_file
        self._peer = HttpPeer.from_table(settings)
        self._clock: Clock = clock or SystemClock()

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        """Send the event.

        Raises:
            DeliveryError: not taken; `retryable` says whether to try again.
        """
        name, content = take_message(reports, chosen, on_chosen)
        answer = self._post(content, name)
        return Sent(status=answer.status, sop_instance_uid=name)

    def check(self) -> None:
        """Raise DeliveryError unless the receiver listens and events can be signed.

        Nothing is posted: a receiver may take any event for a result.
        """
        self._secret()
        reach(self._peer)

    def _post(self, body: bytes, key: str) -> HttpAnswer:
        seconds = int(self._clock.now().timestamp())
        request = HttpRequest(
            method="POST",
            path="",
            headers={
                "Content-Type": "application/json; charset=utf-8",
                "Idempotency-Key": key,
                "X-Signature": sign(self._secret(), seconds, body=body),
            },
            body=body,
        )
        answer = exchange(self._peer, request)
        if answer.ok:
            return answer
        error = refused(self._peer, answer)
        error.retryable = error.retryable or answer.status == _CONFLICT
        raise error

    def _secret(self) -> bytes:
        """Read the secret anew, so that it can be exchanged."""
        setting = self._peer.setting("secret_file")
        try:
            secret = read_secret(self._secret_file, setting).strip()
            if len(secret) < _SHORTEST_SECRET:
                raise ConfigError(
                    f"{setting} needs at least {_SHORTEST_SECRET} characters: "
                    "openssl rand -hex 32 writes some"
                )
        except ConfigError as error:
            raise DeliveryError(
                f"{self._peer} cannot be called: {error}", retryable=True
            ) from None
        return secret.encode()


def sign(secret: bytes, seconds: int, *, body: bytes) -> str:
    """Return the value of X-Signature.

    Args:
        seconds: since the Unix epoch; a receiver refuses what is too old.
    """
    signed = f"{seconds}.".encode() + body
    digest = hmac.new(secret, signed, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
