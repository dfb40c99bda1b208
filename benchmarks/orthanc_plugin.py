"""What a site writes into Orthanc: prepare every image that arrives, in the callback.

Runs inside Orthanc (package orthanc-python). The settings name the folders to import
from and the file that counts the prepared images.
"""

import json
import os
import struct
import sys
import threading
from io import BytesIO

import orthanc  # type: ignore[import-not-found]  # Orthanc's own, there in a plugin only

_settings = json.loads(orthanc.GetConfiguration())["Benchmark"]
sys.path[:0] = _settings["Folders"]

from benchmarks.with_pil import prepare_with_pil  # noqa: E402 - needs the folders

_lock = threading.Lock()
_counter = os.open(_settings["Counter"], os.O_WRONLY | os.O_CREAT, 0o600)
_prepared = 0


def on_stored(dicom: "orthanc.DicomInstance", _instance: str) -> None:
    """Prepare one image with pydicom and PIL."""
    global _prepared
    prepare_with_pil(BytesIO(dicom.GetInstanceData()))
    with _lock:
        _prepared += 1
        os.pwrite(_counter, struct.pack("<Q", _prepared), 0)


orthanc.RegisterOnStoredInstanceCallback(on_stored)
