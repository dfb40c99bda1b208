"""Senders of a soak: mixed images, repeats, other pixels, aborts, at random."""

import hashlib
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.part10 import Image
from benchmarks.receivers import AE_TITLE, Certificates
from benchmarks.template import Template, make_uid
from benchmarks.wire import (
    ABORT,
    RELEASE_RQ,
    Titles,
    WireError,
    associate,
    connect,
    dataset_pdus,
    read_pdu,
    read_status,
    store_request,
)

_MOST_PER_ASSOCIATION: Final = 60
_NOISE_BYTES: Final = 32
_FRAGMENTS: Final = (4096, 16384, 131072)
_REMEMBERED: Final = 64
_ANSWER_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What was answered with 0x0000."""

    sop_instance_uid: str
    sha256: bytes


@dataclass(slots=True)
class Journal:
    """What the senders did and what they were told; shared by all of them."""

    acknowledged: set[Acknowledged] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, image: Image, status: int) -> None:
        """Note the answer to an image."""
        told = Acknowledged(
            image.sop_instance_uid, hashlib.sha256(image.dataset).digest()
        )
        with self._lock:
            self.counts["answers"] += 1
            self.counts[f"status {status:#06x}"] += 1
            self.sent_bytes += len(image.dataset)
            if status == 0:
                self.acknowledged.add(told)

    def count(self, what: str) -> None:
        """Count something else that happened."""
        with self._lock:
            self.counts[what] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What every sender of a soak is told.

    Args:
        templates: of each kind of image, the first kind the most frequent.
        files: further images, sent as they are.
        bytes_per_second: of all senders together; 0 is no limit.
        ends_at: on the monotonic clock.
        tls: of every association; None is plain TCP.
    """

    port: int
    seed: int
    senders: int
    templates: Sequence[Sequence[Template]]
    files: Sequence[Image]
    bytes_per_second: float
    ends_at: float
    tls: ssl.SSLContext | None = None


class SoakSender(threading.Thread):
    """Calls again and again until the soak ends."""

    def __init__(self, number: int, orders: Orders, journal: Journal) -> None:
        super().__init__(name=f"sender-{number}", daemon=True)
        self._random = random.Random(f"{orders.seed}-{number}")
        self._orders = orders
        self._journal = journal
        self._begun = time.monotonic()
        self._sent_bytes = 0
        self._next_uid = (orders.seed % 10**12 * 1000 + number) * 10**12
        self._remembered: list[Image] = []

    def run(self) -> None:
        """Call, send, hang up or fall silent; an unexpected end is a fault."""
        try:
            while time.monotonic() < self._orders.ends_at:
                self._keep_pace()
                try:
                    self._call()
                except (OSError, WireError):
                    self._journal.count("associations that broke")
                    time.sleep(self._random.uniform(0, _AGAIN_SECONDS))
        except Exception as error:  # noqa: BLE001 - a thread's edge: the check tells
            self._journal.faults.append(f"{self.name}: {type(error).__name__}: {error}")

    def _call(self) -> None:
        images = self._choose()
        first = images[0]
        titles = Titles(
            calling=self.name.upper()[:16],
            called=AE_TITLE,
            sop_class_uid=first.sop_class_uid,
            transfer_syntax_uid=first.transfer_syntax_uid,
        )
        with self._connect() as connection:
            length = associate(connection, titles)
            self._journal.count("associations")
            length = min(length, self._random.choice(_FRAGMENTS))
            for message_id, image in enumerate(images, start=1):
                if self._random.random() < 0.01:
                    self._abort(connection, image, length)
                    return
                if not self._send(connection, image, length, message_id=message_id):
                    return
            connection.sendall(RELEASE_RQ)
            read_pdu(connection)

    def _connect(self) -> socket.socket:
        plain = connect("127.0.0.1", self._orders.port, seconds=_ANSWER_SECONDS)
        if self._orders.tls is None:
            return plain
        try:
            return self._orders.tls.wrap_socket(plain)
        except BaseException:
            plain.close()
            raise

    def _send(
        self, connection: socket.socket, image: Image, length: int, *, message_id: int
    ) -> bool:
        """Send one image; say whether there is time for another."""
        connection.sendall(_message(image, message_id, length))
        status = read_status(connection, message_id)
        self._journal.note(image, status)
        self._sent_bytes += len(image.dataset)
        if status == 0:
            self._remembered.append(image)
            del self._remembered[:-_REMEMBERED]
        self._keep_pace()
        return time.monotonic() < self._orders.ends_at

    def _abort(self, connection: socket.socket, image: Image, length: int) -> None:
        """End in the middle of a message: by A-ABORT, by FIN or by RST."""
        message = _message(image, 1, length)
        connection.sendall(message[: self._random.randrange(len(message))])
        how = self._random.choice(("A-ABORT", "FIN", "RST"))
        if how == "A-ABORT":
            connection.sendall(ABORT)
        if how == "RST":
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._journal.count(f"ended by {how}")

    def _choose(self) -> list[Image]:
        """Choose the images of one association, all of one class and syntax."""
        number = self._random.randint(1, _MOST_PER_ASSOCIATION)
        if self._orders.files and self._random.random() < 0.2:
            return [self._random.choice(self._orders.files)]
        if self._remembered and self._random.random() < 0.15:
            again = self._random.choice(self._remembered)
            self._journal.count("repeats")
            return [again]
        weights = [4 ** (2 - index) for index in range(len(self._orders.templates))]
        (kind,) = self._random.choices(self._orders.templates, weights)
        if len(kind[0].content) > 1 << 22:
            number = min(number, 4)
        study, series = self._uid(), self._uid()
        made = [self._new(kind, study, series) for _ in range(number)]
        if self._random.random() < 0.1:
            made.append(self._other_pixels(made[-1]))
        return made

    def _new(self, kind: Sequence[Template], study: str, series: str) -> Image:
        template = self._random.choice(kind)
        uid = self._uid()
        dataset = template.with_uids((uid, study, series))
        dataset[-_NOISE_BYTES:] = self._random.randbytes(_NOISE_BYTES)
        return Image(
            sop_class_uid=template.sop_class_uid,
            sop_instance_uid=uid,
            dataset=bytes(dataset),
        )

    def _other_pixels(self, image: Image) -> Image:
        """Return other pixels under the same UID: a conflict, to be kept as well."""
        self._journal.count("conflicts")
        return Image(
            sop_class_uid=image.sop_class_uid,
            sop_instance_uid=image.sop_instance_uid,
            dataset=image.dataset[:-_NOISE_BYTES]
            + self._random.randbytes(_NOISE_BYTES),
        )

    def _uid(self) -> str:
        self._next_uid += 1
        return make_uid(self._next_uid)

    def _keep_pace(self) -> None:
        """Wait as long as this sender is ahead of its share of the pace."""
        share = self._orders.bytes_per_second / self._orders.senders
        if share:
            due = self._begun + self._sent_bytes / share
            time.sleep(max(0.0, min(due, self._orders.ends_at) - time.monotonic()))


def caller_context(certificates: Certificates) -> ssl.SSLContext:
    """Make the TLS of callers that the node knows."""
    context = ssl.create_default_context(cafile=certificates.ca)
    context.check_hostname = False  # AE titles, not host names, name DICOM peers
    context.load_cert_chain(certificates.certificate, certificates.private_key)
    return context


def _message(image: Image, message_id: int, length: int) -> bytes:
    """Encode a whole C-STORE-RQ with its data set."""
    request = store_request(image.sop_class_uid, image.sop_instance_uid, message_id)
    return request + bytes(dataset_pdus(image.dataset, length))
