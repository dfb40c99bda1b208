"""The reference: pynetdicom's own Storage SCP, in a process of its own.

It keeps the bytes of every data set that its handler is given. Its own process keeps
its threads and descriptors out of the counts, and our settings of pynetdicom out of
it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid

from inference.pixels.codecs import decodable_transfer_syntaxes
from tests.conformance.wire.pdu import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    PRIVATE,
    VERIFICATION,
)

COMMITMENT = "1.2.840.10008.1.20.1"
_STORAGE_INFORMATION = b"\x02\x00\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceOptions:
    """What both acceptors have in common."""

    max_pdu_bytes: int = 131072
    calling: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stored:
    """A data set as it was received."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """A running pynetdicom."""

    port: int
    folder: Path

    def stored(self, since: int = 0) -> list[Stored]:
        """Return what its handler was given, in that order."""
        found = sorted(self.folder.glob("*.json"))[since:]
        return [
            Stored(
                **json.loads(path.read_text()),
                dataset=path.with_suffix(".bin").read_bytes(),
            )
            for path in found
        ]


@contextmanager
def running_reference(folder: Path, options: ReferenceOptions) -> Iterator[Reference]:
    """Run the reference; it ends with the block, or when this process does."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", __name__, str(folder), json.dumps(asdict(options))]
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("no pipe")
            yield Reference(int(process.stdout.readline()), folder)
        finally:
            process.kill()


def _entity(options: ReferenceOptions) -> AE:
    """Configure pynetdicom as our acceptor is.

    The acceptor is free to choose among the syntaxes of a context (PS3.8 9.3.3.2).
    Ours takes the first but for Implicit VR; this order mostly comes to the same.
    """
    entity = AE(ae_title="AINODE")
    entity.maximum_pdu_size = options.max_pdu_bytes
    entity.maximum_associations = 100
    entity.require_called_aet = True
    entity.require_calling_aet = options.calling
    native = [EXPLICIT, DEFLATED, BIG_ENDIAN, IMPLICIT]
    syntaxes = [uid for uid in decodable_transfer_syntaxes() if uid not in native]
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), syntaxes + native)
    register_uid(PRIVATE, "PrivateStorage", StorageServiceClass)
    entity.add_supported_context(PRIVATE, syntaxes + native)
    entity.add_supported_context(VERIFICATION, [IMPLICIT, EXPLICIT])
    entity.add_supported_context(
        COMMITMENT, [EXPLICIT, IMPLICIT], scu_role=False, scp_role=True
    )
    return entity


def _serve(folder: Path, options: ReferenceOptions) -> None:
    serial = count(1)

    def keep(event: Any) -> int:
        path = folder / f"{next(serial):06d}"
        path.with_suffix(".bin").write_bytes(event.request.DataSet.getvalue())
        path.with_suffix(".json").write_text(
            json.dumps(
                {
                    "sop_instance_uid": str(event.request.AffectedSOPInstanceUID),
                    "transfer_syntax_uid": str(event.context.transfer_syntax),
                }
            )
        )
        return 0

    def answer_extended(event: Any) -> dict[Any, bytes]:
        asked = (uid for uid in event.app_info if uid != VERIFICATION)
        return dict.fromkeys(asked, _STORAGE_INFORMATION)

    server = _entity(options).start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[
            (evt.EVT_C_STORE, keep),
            (evt.EVT_N_EVENT_REPORT, lambda event: (0, None)),
            (evt.EVT_SOP_EXTENDED, answer_extended),
        ],
    )
    if server is None:
        raise RuntimeError("a server that does not block is returned")
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), ReferenceOptions(**json.loads(sys.argv[2])))
