"""Remember whose study it is, so that the page finds it by a whole ID or name."""

import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from dicom_node.core.errors import NodeError
from dicom_node.core.patient import Patient, PatientDigest, PatientKeys
from dicom_node.core.types import Instance, Study
from dicom_node.part10.file import open_stored
from dicom_node.part10.reading import UNREADABLE, hushed, text_of

log = logging.getLogger("dicom_node.study")

Remember = Callable[[Study, frozenset[PatientDigest]], None]

_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_BEHIND: Final = 0x00100022  # the first tag that is of no interest here
_SERIES: Final = 8  # of one study that are looked at: they are of one patient
_HEADER_BYTES: Final = 4 << 20


class PatientIndex:
    """Makes each study findable; what fails is logged, and routing goes on.

    Args:
        path_of: where the file with a key lies.
        remember: keeps a study's digests.
    """

    def __init__(
        self, keys: PatientKeys, path_of: Callable[[str], Path], remember: Remember
    ) -> None:
        self._keys, self._path_of, self._remember = keys, path_of, remember

    def remember(self, study: Study) -> None:
        """Read one file of each series and keep what the study is found by."""
        digests: set[PatientDigest] = set()
        try:
            for item in _one_of_each_series(study):
                patient = read_patient(self._path_of(item.file_key))
                if patient is not None:
                    digests |= self._keys.of_patient(patient)
            if digests:
                self._remember(study, frozenset(digests))
        except NodeError as error:
            log.warning(
                "patient not indexed",
                extra={"study": study.study_id, "error": type(error).__name__},
            )


def _one_of_each_series(study: Study) -> Iterator[Instance]:
    seen: set[str] = set()
    for item in study.evidence:
        if item.series_instance_uid not in seen and len(seen) < _SERIES:
            seen.add(item.series_instance_uid)
            yield item


def read_patient(path: Path) -> Patient | None:
    """Read whose file of this node it is; None if it cannot be read."""
    try:
        file = open_stored(path)
        if file.head.transfer_syntax_uid == _DEFLATED:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            header = inflater.decompress(file.beginning, _HEADER_BYTES)
            dataset = _read(BytesIO(header), implicit=False)
        else:
            with path.open("rb") as stream, hushed():
                dataset = read_partial(stream, _is_behind)
    except (NodeError, zlib.error, struct.error, *UNREADABLE):
        return None
    return Patient(
        patient_id=text_of(dataset, "PatientID"),
        issuer=text_of(dataset, "IssuerOfPatientID"),
        name=text_of(dataset, "PatientName"),
    )


def _read(stream: BytesIO, *, implicit: bool) -> Dataset:
    from pydicom.filereader import read_dataset

    with hushed():
        return read_dataset(stream, implicit, True, stop_when=_is_behind)


def _is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag >= _BEHIND)
