"""Values made legal for their VR: only the form changes, never the meaning."""

import re
from datetime import date
from math import isfinite
from typing import Final

from pydicom import config
from pydicom.valuerep import format_number_as_ds, validate_value

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]+")
# In a source's values the escape may begin a character set (PS3.5 6.1.2.5.3).
_ILLEGAL_IN_LINE = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f]+")
_ILLEGAL_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]+")
_ACR_NEMA_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?|60)?)?")
_AGE = re.compile(r"\d{1,3}[DWMY]")
_OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_ENUMERATED: Final = {  # closed lists of PS3.3 C.7.1.1, C.7.2.2 and C.7.6.1
    "PatientSex": {"M", "F", "O"},
    "PatientSexNeutered": {"ALTERED", "UNALTERED"},
    "PatientIdentityRemoved": {"YES", "NO"},
    "QualityControlSubject": {"YES", "NO"},
    "SmokingStatus": {"YES", "NO", "UNKNOWN"},
    "TypeOfPatientID": {"TEXT", "RFID", "BARCODE"},
    "PregnancyStatus": {"1", "2", "3", "4"},
    "RecognizableVisualFeatures": {"YES", "NO"},
    "LossyImageCompression": {"00", "01"},
}
_POSITIVE: Final = {"PatientSize", "PatientWeight", "PatientBodyMassIndex"}
# Characters of a value, of a name's component group (PS3.5 6.2).
_LIMITS: Final = {"LO": 64, "SH": 16, "PN": 64, "ST": 1024, "LT": 10240}
_LINES: Final = {"LO", "SH", "UC"}
_TEXTS: Final = {"ST", "LT", "UT"}
_GROUPS: Final = 3  # of a name, of up to five components each (PS3.5 6.2.1.1)
_COMPONENTS: Final = 5
_DS_CHARACTERS: Final = 16
# What people read, which may end early; of anything else a part means something else.
_READ: Final = re.compile(
    r".*(Description|Meaning|Comments|History|Service|Organization|Method|State)"
    r"|MedicalAlerts|Allergies|EthnicGroup|Occupation|ReasonForVisit"
)


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

    The patient's name is not cut: whoever matches on it compares every character.
    """
    text = str(value).strip()
    if not text:
        return None
    if vr in _LINES or vr in _TEXTS or vr == "PN":
        legal = _legal_text(keyword, vr, text)
        return value if legal == text else legal or None
    if vr in {"DA", "TM", "AS"}:
        return _temporal(vr, text) or None
    if vr == "CS":
        value = text = text.upper()
    if not _is_allowed(keyword, text):
        return None
    if vr == "DS" and len(text) > _DS_CHARACTERS:
        return _short_number(text)
    try:
        # Numbers in text are checked as they were written.
        written = text if vr in {"DS", "IS"} else value
        validate_value(vr, written, config.RAISE)
    except (ValueError, TypeError):
        return None
    return value


def _legal_text(keyword: str, vr: str, text: str) -> str:
    if vr == "PN":
        return _legal_name(keyword, text)
    illegal = _ILLEGAL_IN_TEXT if vr in _TEXTS else _ILLEGAL_IN_LINE
    cleaned = illegal.sub(" ", text).strip()
    limit = _LIMITS.get(vr, len(cleaned))
    if len(cleaned) <= limit:
        return cleaned
    return cleaned[:limit].rstrip() if _READ.fullmatch(keyword) else ""


def _legal_name(keyword: str, text: str) -> str:
    """Change what does not fit the form of a name; the patient's is never cut."""
    groups = _ILLEGAL_IN_LINE.sub(" ", text).split("=")[:_GROUPS]
    limit = None if keyword == "PatientName" else _LIMITS["PN"]
    return "=".join(_legal_group(group)[:limit] for group in groups).strip()


def _legal_group(group: str) -> str:
    """Join what follows the fourth component: a suffix is the last of them."""
    parts = group.split("^")
    if len(parts) <= _COMPONENTS:
        return group
    last = " ".join(part for part in parts[_COMPONENTS - 1 :] if part.strip())
    return "^".join([*parts[: _COMPONENTS - 1], last]).rstrip("^ ")


def _is_allowed(keyword: str, text: str) -> bool:
    if keyword in _ENUMERATED:
        return text in _ENUMERATED[keyword]
    return keyword not in _POSITIVE or _is_positive(text)


def _short_number(text: str) -> str | None:
    """Write a number with as many digits as a DS holds (PS3.5 6.2)."""
    try:
        return str(format_number_as_ds(float(text)))
    except (ValueError, OverflowError):
        return None


def _temporal(vr: str, text: str) -> str:
    if vr == "DA":
        return legal_date(text)
    if vr == "TM":
        return legal_time(text)
    age = text.upper()
    return age.zfill(4) if _AGE.fullmatch(age) else ""


def _is_positive(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return isfinite(number) and number > 0
