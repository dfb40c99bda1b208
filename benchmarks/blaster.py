"""A sender that costs nothing: everything is encoded before the clock starts.

Runs as a process of its own, `python -m benchmarks.blaster`, with its task as JSON on
standard input and its result as JSON on standard output; standard library only.
"""

import json
import multiprocessing
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Final

from benchmarks.template import UID_LENGTH, Template, make_uid
from benchmarks.wire import (
    RELEASE_RQ,
    Connection,
    Titles,
    WireError,
    associate,
    connect,
    dataset_pdus,
    position,
    read_pdu,
    read_status,
    store_request,
)

BARE_HEADER: Final = struct.Struct(">QQ")  # bytes of one image, number of images
_START_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to send.

    Args:
        images: of each association.
        templates: files of `Template.save`, taken in turn.
        first_uid: each association takes images + 2 numbers from here.
        bare: to the loop of `benchmarks.floor`, which knows no DICOM.
        tls: paths of ca, certificate and private key.
        processes: a process per association, not a thread; it sends no faster and
            costs more (0.5 against 0.4 CPU s for 1,000 images at 8 associations).
    """

    port: int
    called: str
    associations: int
    images: int
    templates: tuple[str, ...]
    first_uid: int
    bare: bool = False
    tls: tuple[str, str, str] | None = None
    processes: bool = False
    host: str = "127.0.0.1"
    calling: str = "BLASTER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was sent and how long it took, from the first byte to the last answer.

    Args:
        begun: `time.monotonic`, which all processes of a machine share, at the first
            byte.
    """

    images: int
    seconds: float
    tls: str = ""
    begun: float = 0.0


class Barrier:
    """Holds the associations until all are open; also across processes."""

    def __init__(self, parties: int, *, processes: bool) -> None:
        self._barrier = (
            multiprocessing.get_context("fork").Barrier(parties)
            if processes
            else threading.Barrier(parties)
        )

    def wait(self) -> None:
        """Wait for the others, but not for ever: a peer may serve fewer at once."""
        try:
            self._barrier.wait(_START_SECONDS)
        except threading.BrokenBarrierError:
            return


class Sender:
    """One association: opens, waits for the others, sends, and tells its times."""

    def __init__(self, task: Task, number: int) -> None:
        self._task = task
        self._templates = [Template.load(Path(path)) for path in task.templates]
        first = task.first_uid + number * (task.images + 2)
        self._study, self._series = make_uid(first), make_uid(first + 1)
        self._first_instance = first + 2
        self.tls = ""

    def run(self, barrier: Barrier) -> tuple[float, float]:
        """Send all images; return when the first began and the last was answered.

        Raises:
            WireError: an answer was not 0x0000.
        """
        with connect(self._task.host, self._task.port) as plain:
            connection = self._secure(plain) if self._task.tls else plain
            if self._task.bare:
                return self._run_bare(connection, barrier)
            sop_class_uid = self._templates[0].sop_class_uid
            length = associate(
                connection,
                Titles(
                    calling=self._task.calling,
                    called=self._task.called,
                    sop_class_uid=sop_class_uid,
                ),
            )
            streams = [self._encode(template, length) for template in self._templates]
            barrier.wait()
            begun = time.monotonic()
            for index in range(self._task.images):
                stream = streams[index % len(streams)]
                message_id = index % 0xFFFF + 1
                connection.sendall(stream(index, message_id))
                if status := read_status(connection, message_id):
                    raise WireError(f"an image was answered with {status:#06x}")
            ended = time.monotonic()
            connection.sendall(RELEASE_RQ)
            read_pdu(connection)
            return begun, ended

    def _run_bare(
        self, connection: Connection, barrier: Barrier
    ) -> tuple[float, float]:
        streams = [self._encode(template, 131072) for template in self._templates]
        size = len(streams[0](0, 1))
        connection.sendall(BARE_HEADER.pack(size, self._task.images))
        barrier.wait()
        begun = time.monotonic()
        for index in range(self._task.images):
            connection.sendall(streams[index % len(streams)](index, 1))
            if connection.recv(1) != b"\1":
                raise WireError("the loop did not answer")
        return begun, time.monotonic()

    def _encode(
        self, template: Template, max_length: int
    ) -> Callable[[int, int], bytearray]:
        """Encode all PDUs of one image; the function returned patches its numbers."""
        command = store_request(template.sop_class_uid, make_uid(0), 0)
        uids = (make_uid(0), self._study, self._series)
        pdus = dataset_pdus(template.with_uids(uids), max_length)
        inside = position(template.offsets[0], UID_LENGTH, max_length)
        in_command = command.index(make_uid(0).encode("ascii"))
        of_message_id = command.index(struct.pack("<HHI", 0, 0x0110, 2)) + 8
        stream = bytearray(command) + pdus
        in_dataset = len(command) + inside

        def patch(index: int, message_id: int) -> bytearray:
            uid = make_uid(self._first_instance + index).encode("ascii")
            stream[in_command : in_command + UID_LENGTH] = uid
            stream[in_dataset : in_dataset + UID_LENGTH] = uid
            struct.pack_into("<H", stream, of_message_id, message_id)
            return stream

        return patch

    def _secure(self, plain: socket.socket) -> ssl.SSLSocket:
        ca, certificate, private_key = self._task.tls or ("", "", "")
        context = ssl.create_default_context(cafile=ca)
        context.check_hostname = False  # AE titles, not host names, name DICOM peers
        context.load_cert_chain(certificate, private_key)
        secured = context.wrap_socket(plain)
        cipher = secured.cipher()
        self.tls = f"{secured.version()} {cipher[0] if cipher else ''}".strip()
        return secured


def blast(task: Task) -> Sent:
    """Send over all associations at once.

    Raises:
        WireError: an association failed; says why.
    """
    senders = [Sender(task, number) for number in range(task.associations)]
    barrier = Barrier(task.associations, processes=task.processes)
    run = _in_processes if task.processes else _in_threads
    times = run(senders, barrier)
    begun = min(begin for begin, _ in times)
    return Sent(
        images=task.images * task.associations,
        seconds=max(end for _, end in times) - begun,
        tls=senders[0].tls,
        begun=begun,
    )


def _in_threads(
    senders: Sequence[Sender], barrier: Barrier
) -> list[tuple[float, float]]:
    times: list[tuple[float, float]] = []
    faults: list[str] = []

    def run(sender: Sender) -> None:
        try:
            times.append(sender.run(barrier))
        except (WireError, OSError) as error:
            faults.append(str(error))

    threads = [threading.Thread(target=run, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise WireError(faults[0])
    return times


def _in_processes(
    senders: Sequence[Sender], barrier: Barrier
) -> list[tuple[float, float]]:
    context = multiprocessing.get_context("fork")
    pipes = []
    for sender in senders:
        ours, theirs = context.Pipe(duplex=False)
        context.Process(target=_report, args=(sender, barrier, theirs)).start()
        theirs.close()
        pipes.append(ours)
    found = [pipe.recv() for pipe in pipes]
    faults = [answer for answer in found if isinstance(answer, str)]
    if faults:
        raise WireError(faults[0])
    return [(begin, end) for begin, end in found]


def _report(sender: Sender, barrier: Barrier, pipe: Pipe) -> None:
    try:
        pipe.send(sender.run(barrier))
    except (WireError, OSError) as error:
        pipe.send(str(error))


def main() -> int:
    """Read the task, send, print the result."""
    told = json.load(sys.stdin)
    told["templates"] = tuple(told["templates"])
    told["tls"] = tuple(told["tls"]) if told["tls"] else None
    try:
        sent = blast(Task(**told))
    except (WireError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(asdict(sent), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
