"""Keyed digests of patients' IDs and names: a whole one is found, none can be read.

What is normalised: letters as `casefold` has them, NFKC forms (full and half width),
diacritics U+0300 to U+036F, white space; of names also the order of family, given and
middle name, and what separates them. Prefixes and suffixes are left out.
"""

import hmac
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom_node.core.errors import ConfigError

ID: Final = "id"
ISSUED_ID: Final = "issued-id"
NAME: Final = "name"

_KEY_BYTES: Final = 32
_COMPONENTS: Final = 3  # family, given, middle (PS3.5 6.2.1.1)
_DIACRITICS: Final = re.compile("[\u0300-\u036f]")
_SEPARATORS: Final = re.compile(r"[\s^,;=\-‐‑]+")
_NOTHING: Final = re.compile(r"['’`´.]")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Patient:
    """Who a study's files say that it is of; it has no `repr`, to get into no log.

    Args:
        name: PN, its component groups separated by "=" (PS3.5 6.2.1.2).
        issuer: Issuer of Patient ID.
    """

    patient_id: str = ""
    issuer: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, order=True)
class PatientDigest:
    """A digest and what it is of: `ID`, `ISSUED_ID` or `NAME`."""

    kind: str
    digest: str


class PatientKeys:
    """Makes the digests with the key of this node.

    Args:
        file: of the key, made when there is none. Without it nobody can tell which
            patient a digest is of, the node neither.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(self, file: Path) -> None:
        self._key = _read_or_make(file)

    def of_patient(self, patient: Patient) -> frozenset[PatientDigest]:
        """Return what a study of this patient is to be found by."""
        found = set()
        if normalised := _normalise_id(patient.patient_id):
            found.add(self._digest(ID, normalised))
            if issuer := _normalise_id(patient.issuer):
                found.add(self._digest(ISSUED_ID, f"{normalised}\0{issuer}"))
        for text in _names(patient.name):
            found.add(self._digest(NAME, text))
        return frozenset(found)

    def of_id(self, patient_id: str) -> frozenset[str]:
        """Return the digests of a whole Patient ID; none of an empty one."""
        normalised = _normalise_id(patient_id)
        return frozenset([self._digest(ID, normalised).digest] if normalised else [])

    def of_name(self, name: str) -> frozenset[str]:
        """Return the digests of a whole name; none of an empty one.

        Args:
            name: as in DICOM (Doe^John) or as people write (John Doe; Doe, John).
        """
        words = _words(name)
        forms = {" ".join(sorted(words)), "".join(words)} - {""}
        return frozenset(self._digest(NAME, form).digest for form in forms)

    def _digest(self, kind: str, text: str) -> PatientDigest:
        message = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
        return PatientDigest(kind, hmac.digest(self._key, message, "sha256").hex())


def _normalise_id(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _names(name: str) -> Iterator[str]:
    """Yield each component group's name in the forms that it is searched by."""
    for group in name.split("="):
        components = group.split("^")[:_COMPONENTS]
        for count in range(2, _COMPONENTS + 1):
            words = _words(" ".join(components[:count]))
            if words:
                yield " ".join(sorted(words))
                # As Korean, Chinese and Japanese names are written: 홍길동.
                yield "".join(words)


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text.replace("\0", " ")).casefold()
    plain = unicodedata.normalize("NFKC", _DIACRITICS.sub("", folded))
    return [word for word in _SEPARATORS.split(_NOTHING.sub("", plain)) if word]


def _read_or_make(file: Path) -> bytes:
    try:
        with suppress(FileExistsError):
            if not file.exists():
                _make(file)
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            key = opened.read(_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the key of patients' digests cannot be used ({error.strerror}): {file} "
            "has to be a file of this user"
        ) from None
    if mode & 0o077:
        raise ConfigError(f"others may read the key {file}: chmod 600 {file}")
    if len(key) != _KEY_BYTES:
        raise ConfigError(
            f"the key {file} is damaged: put it back from the backup, or remove it; "
            "patients of earlier studies are then not found any more"
        )
    return key


def _make(file: Path) -> None:
    """Make the key so that whoever sees it sees all of it, and only one is made."""
    part = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
        os.fsync(descriptor)
        os.link(part, file)
    finally:
        os.close(descriptor)
        part.unlink()
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
