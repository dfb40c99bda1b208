"""A destination that takes HL7 v2 messages over MLLP, with or without TLS."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from config.destinations import DestinationTable
from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.core.hl7 import read_message
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.tls import TLSFiles
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.choose import read_report
from dicom_node.deliver.hl7_answer import Answer, read_answer
from dicom_node.deliver.tls import explain_fault, secure

# HL7 Transport Specification: MLLP, release 1, 2.
_START: Final = b"\x0b"
_END: Final = b"\x1c"
_FRAME_END: Final = b"\x1c\r"
_MAX_ANSWER_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Until:
    """The end of all waiting for one answer."""

    at: float

    @property
    def seconds(self) -> float:
        """How long is left; raises TimeoutError when it is over."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class HL7Destination:
    """Sends each message over a connection of its own, and waits for its answer.

    A message that is tried again has the same MSH-10, by which a receiver that took
    it before knows it.
    """

    def __init__(self, settings: DestinationTable) -> None:
        self.name = settings.name
        self.kinds: tuple[ReportKind, ...] = (ReportKind.HL7,)
        self.sop_class_uids: tuple[str, ...] = ()
        self.send_not_evaluated = settings.send_not_evaluated
        self._settings = settings

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        """Send the message; it is sent once the receiver has answered AA or CA.

        Raises:
            DeliveryError: not accepted. AR and CR are final, so is a message without
                the numbers by which a receiver finds the order.
        """
        file = self._message(reports, chosen)
        content = read_report(file)
        control_id = file.report.sop_instance_uid
        self._check_sendable(content, control_id)
        with self._connected() as connection:
            on_chosen(control_id)
            answer = self._exchange(connection, content, control_id)
        if not answer.accepted:
            raise DeliveryError(
                f"{self} {answer.explain()}",
                retryable=answer.retryable,
                status=answer.status,
            )
        return Sent(status=answer.status, sop_instance_uid=control_id)

    def check(self) -> None:
        """Raise DeliveryError unless something listens there, with TLS if so set.

        MLLP has no question that is not a message.
        """
        with self._connected():
            pass

    def __str__(self) -> str:
        host = self._settings.host
        address = f"[{host}]" if ":" in host else host
        return f"destination '{self.name}' (HL7 at {address}:{self._settings.port})"

    def _message(
        self, reports: Sequence[ReportFile], chosen: SOPInstanceUID | None
    ) -> ReportFile:
        for file in reports:
            if chosen in (None, file.report.sop_instance_uid):
                return file
        raise DeliveryError(
            "there is no message for this destination, or not the one that an earlier "
            "attempt sent: run `dicom-node replay` on the study",
            retryable=False,
        )

    def _check_sendable(self, content: bytes, control_id: str) -> None:
        message = read_message(content)
        framed = _START in content or _END in content
        if message is None or framed or message.value("MSH", 10) != control_id:
            raise DeliveryError(
                "the file of the message holds no HL7 message with its MSH-10: run "
                "`dicom-node replay` on the study",
                retryable=False,
            )
        for name, field, attribute in (
            ("OBR", 3, "Accession Number (0008,0050)"),
            ("PID", 3, "Patient ID (0010,0020)"),
        ):
            if not message.value(name, field):
                raise DeliveryError(
                    f"unmatched: the images have no {attribute}, without which "
                    f"{self} cannot find the order: correct them at the source, "
                    "then send the study again",
                    retryable=False,
                )

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        """Connect, with TLS if so set; every failure is one to try again."""
        seconds = self._settings.timeout_seconds
        address = (self._settings.host, self._settings.port)
        try:
            connection = socket.create_connection(address, timeout=seconds)
        except TimeoutError:
            raise self._unreachable(f"within {seconds:g} s") from None
        except OSError:
            raise self._unreachable("at present: nothing listens there") from None
        try:
            if self._settings.tls:
                connection = self._secured(connection)
            yield connection
        finally:
            connection.close()

    def _secured(self, connection: socket.socket) -> socket.socket:
        settings = self._settings
        where = f"destination '{self.name}'"
        files = TLSFiles(
            ca=settings.ca,
            certificate=settings.certificate,
            private_key=settings.private_key,
            where=where,
        )
        try:
            return secure(connection, files, settings.host)
        except ConfigError as error:
            raise DeliveryError(str(error), retryable=True) from None
        except OSError as error:
            text = explain_fault(error).format(
                seconds=f"{settings.timeout_seconds:g}",
                address=f"host and port of {where}",
                ca=f"ca of {where}",
                certificate=f"certificate of {where}",
                tls=f"tls of {where}",
            )
            raise DeliveryError(f"{self} {text}", retryable=True) from None

    def _exchange(
        self, connection: socket.socket, content: bytes, control_id: str
    ) -> Answer:
        """Send the frame and return the answer to it, all within `ack_seconds`."""
        seconds = self._settings.ack_seconds
        until = _Until(at=time.monotonic() + seconds)
        answers = _Answers()
        try:
            _send_all(connection, _START + content + _FRAME_END, until)
            return answers.wait(connection, control_id, until)
        except TimeoutError:
            raise DeliveryError(
                f"{self} {answers.complain()} within {seconds:g} s: see its log, or "
                f"raise ack_seconds of destination '{self.name}'",
                retryable=True,
            ) from None
        except OSError:
            raise DeliveryError(
                f"{self} broke the connection off before its acknowledgement was "
                "whole: see its log",
                retryable=True,
            ) from None

    def _unreachable(self, how: str) -> DeliveryError:
        return DeliveryError(
            f"{self} cannot be reached {how}; check host and port, the network and "
            "the firewall",
            retryable=True,
        )


class _Answers:
    """What comes back on a connection, taken apart into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._received = 0
        self._strange = 0

    def wait(self, connection: socket.socket, control_id: str, until: _Until) -> Answer:
        """Return the answer with this id in MSA-2; whatever else comes is not it.

        Raises:
            TimeoutError: it did not come in time, or too much else came.
            OSError: the connection ended before.
        """
        while self._received <= _MAX_ANSWER_BYTES:
            for frame in self._frames():
                answer = read_answer(frame)
                if answer is not None and answer.control_id == control_id:
                    return answer
                self._strange += 1
            connection.settimeout(until.seconds)
            chunk = connection.recv(_CHUNK_BYTES)
            if not chunk:
                raise ConnectionError
            self._received += len(chunk)
            self._buffer += chunk
        raise TimeoutError

    def complain(self) -> str:
        """Say what came instead of the answer."""
        if self._strange:
            return "answered for another message, or with no HL7 acknowledgement,"
        if self._received:
            return "did not finish an acknowledgement in an MLLP frame"
        return "did not acknowledge the message"

    def _frames(self) -> Iterator[bytes]:
        """Take the whole frames out of the buffer; what is between them is lost."""
        while (end := self._buffer.find(_END)) >= 0:
            start = self._buffer.rfind(_START, 0, end)
            frame = bytes(self._buffer[start + 1 : end]) if start >= 0 else b""
            del self._buffer[: end + 1]
            yield frame


def _send_all(connection: socket.socket, content: bytes, until: _Until) -> None:
    """Send everything; a receiver that does not read ends it in time."""
    rest = memoryview(content)
    while rest:
        connection.settimeout(until.seconds)
        rest = rest[connection.send(rest) :]
