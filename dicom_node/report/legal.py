"""Values made legal for their VR: only the form changes, never the meaning."""

import re
from datetime import date
from math import isfinite
from typing import Final

from pydicom import config
from pydicom.valuerep import validate_value

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]+")
_ACR_NEMA_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?|60)?)?")
_AGE = re.compile(r"\d{3}[DWMY]")
_OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_ENUMERATED: Final = {  # defined as closed lists in PS3.3 C.7.1.1 and C.7.2.2
    "PatientSex": {"M", "F", "O"},
    "PatientSexNeutered": {"ALTERED", "UNALTERED"},
    "PatientIdentityRemoved": {"YES", "NO"},
    "QualityControlSubject": {"YES", "NO"},
    "SmokingStatus": {"YES", "NO", "UNKNOWN"},
    "TypeOfPatientID": {"TEXT", "RFID", "BARCODE"},
}
_POSITIVE: Final = {"PatientSize", "PatientWeight", "PatientBodyMassIndex"}
_TEXT_VRS: Final = {"LO", "SH", "PN", "LT", "ST", "UT", "UC"}


def plain_text(text: str, limit: int) -> str:
    """Return one line without backslashes, of at most `limit` characters (LO, SH)."""
    cleaned = _CONTROL.sub(" ", text.replace("\\", "/"))
    return " ".join(cleaned.split())[:limit].rstrip()


def free_text(text: str, limit: int = 4096) -> str:
    """Return text without control characters, of at most `limit` characters (UT)."""
    return _CONTROL_IN_TEXT.sub(" ", text).strip()[:limit].rstrip()


def legal_date(text: str) -> str:
    """Return a DA; ACR-NEMA's 1997.04.24 is understood, anything else is ""."""
    compact = _ACR_NEMA_DATE.sub(r"\1\2\3", text.strip())
    match = _DATE.fullmatch(compact)
    if not match:
        return ""
    year, month, day = (int(part) for part in match.groups())
    try:
        date(year, month, day)
    except ValueError:
        return ""
    return compact


def legal_time(text: str) -> str:
    """Return a TM; ACR-NEMA's 14:04:38 is understood, anything else is ""."""
    compact = text.strip().replace(":", "")
    return compact if _TIME.fullmatch(compact) else ""


def legal_offset(text: str) -> str:
    """Return a Timezone Offset From UTC, "" if it is none (PS3.3 C.12.1.1)."""
    stripped = text.strip()
    legal = bool(_OFFSET.fullmatch(stripped)) and stripped != "-0000"
    return stripped if legal else ""


def legal_value(keyword: str, vr: str, value: object) -> object:
    """Return the value in a form its VR allows, None if there is no such form.

    Texts come back as they are even where they are longer than the VR allows:
    whoever matches on a Patient ID compares every character.
    """
    text = str(value).strip()
    if not text:
        return None
    if keyword in _ENUMERATED:
        return text if text in _ENUMERATED[keyword] else None
    if keyword in _POSITIVE:
        return value if _is_positive(text) else None
    if vr in {"DA", "TM", "AS"}:
        return _temporal(vr, text) or None
    if vr in _TEXT_VRS:
        return value
    try:
        # Numbers in text are checked as they were written.
        written = text if vr in {"DS", "IS"} else value
        validate_value(vr, written, config.RAISE)
    except (ValueError, TypeError):
        return None
    return value


def _temporal(vr: str, text: str) -> str:
    if vr == "DA":
        return legal_date(text)
    if vr == "TM":
        return legal_time(text)
    return text if _AGE.fullmatch(text) else ""


def _is_positive(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return isfinite(number) and number > 0
