"""A stand-in PACS: it sends studies and keeps the reports that come back."""

from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # pynetdicom makes these names at import

# Also quiets pynetdicom's loggers, for the role of SCP too.
from dicom_node.deliver.caller import MAX_PDU_BYTES

AE_TITLE = "DEMOPACS"
_SUCCESS, _OUT_OF_RESOURCES = 0x0000, 0xA700
# How a file is named by its SOP class, so that people find the picture.
_NAMES: Final = {
    "1.2.840.10008.5.1.4.1.1.7": "picture",
    "1.2.840.10008.5.1.4.1.1.88.59": "key-images",
}


class StandInPacs:
    """A storage SCP on a free port of loopback; files appear whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, Path] = {}
        self._lock = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=AE_TITLE)
        entity.maximum_pdu_size = MAX_PDU_BYTES
        entity.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax))
        server = entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store)],
        )
        if server is None:
            raise OSError("no port of loopback can be listened on")
        self._server = server
        self.port: int = server.server_address[1]

    def __enter__(self) -> "StandInPacs":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()

    @property
    def files(self) -> list[Path]:
        """What it has received, in the order of the first arrival."""
        with self._lock:
            return list(self._names.values())

    def _on_store(self, event: evt.Event) -> int:
        request = event.request
        if not isinstance(request, C_STORE):
            return _OUT_OF_RESOURCES
        uid = str(request.AffectedSOPInstanceUID)
        with self._lock:
            number = len(self._names) + 1
            what = _NAMES.get(str(request.AffectedSOPClassUID), "report")
            path = self._names.get(uid, self.folder / f"{what}-{number:03}.dcm")
            part = path.with_suffix(".part")
            try:
                part.write_bytes(event.encoded_dataset())
                part.replace(path)
            except OSError:
                return _OUT_OF_RESOURCES
            self._names[uid] = path
        return _SUCCESS
