"""Objects as files: in their source's character set, read back before they leave."""

import hashlib
from io import BytesIO
from typing import Final

from pydicom import dcmread, dcmwrite
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Report
from dicom_node.report.header import file_meta

_UTF_8: Final = "ISO_IR 192"
_ASCII: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
_LATIN_1: Final = frozenset({"ISO_IR 100", "ISO 2022 IR 100"})
# Printable ASCII is the same bytes in each of these; the backslash divides values.
_WITH_ASCII: Final = _ASCII | _LATIN_1 | {_UTF_8}
_TEXT_VRS: Final = {"PN", "LO", "SH", "LT", "ST", "UT", "UC"}


def finished_report(
    made: Dataset, source: Dataset, *, kind: ReportKind, node_version: str
) -> tuple[Report, bytes]:
    """Encode an object; its report has no file key until a store gives it one.

    Args:
        source: whose character set it takes.

    Raises:
        ReportError: a text cannot be written in any character set.
    """
    made.file_meta = file_meta(made.SOPClassUID, made.SOPInstanceUID, node_version)
    content = encode(made, _defined_terms(source))
    report = Report(
        sop_class_uid=SOPClassUID(str(made.SOPClassUID)),
        sop_instance_uid=SOPInstanceUID(str(made.SOPInstanceUID)),
        series_instance_uid=SeriesInstanceUID(str(made.SeriesInstanceUID)),
        file_key="",
        sha256=hashlib.sha256(content).hexdigest(),
        kind=kind,
    )
    return report, content


def encode(report: Dataset, terms: list[str] | None) -> bytes:
    """Write the report in its source's character set, in UTF-8 if that loses text.

    Args:
        terms: the source's Specific Character Set, None if it is not usable; []
            stands for the default repertoire.
    """
    meant = _texts(report)
    if terms is not None and _holds(terms, meant):
        content = _write(report, terms)
        sure = content is not None and _cannot_change(terms, meant)
        if content is not None and (sure or _reads_back(content, meant)):
            return content
    content = _write(report, [_UTF_8])
    if content is None or not _reads_back(content, meant):
        raise ReportError("a text of the source cannot be written in any character set")
    return content


def _holds(terms: list[str], texts: list[str]) -> bool:
    """Say whether the default repertoire is asked for no more than ASCII.

    pydicom takes ISO 8859-1 for it, in writing and in reading back.

    Source: PS3.3 C.12.1.1.2 (ISO-IR 6), PS3.5 6.1.2.1.
    """
    if terms and (terms[0] not in _ASCII or _LATIN_1.intersection(terms)):
        return True
    if len(terms) > 1:  # the others write what is beyond both
        return not any("\x80" <= one <= "\xff" for text in texts for one in text)
    return all(text.isascii() for text in texts)


def _cannot_change(terms: list[str], texts: list[str]) -> bool:
    """Say whether the texts are the same when they are read, without reading them."""
    return _WITH_ASCII.issuperset(terms) and all(
        text.isascii() and text.isprintable() and "\\" not in text for text in texts
    )


def _defined_terms(source: Dataset) -> list[str] | None:
    """Return the source's character set, None where it names one nobody knows."""
    value = source.get("SpecificCharacterSet")
    many = list(value) if isinstance(value, MultiValue | list) else [value or ""]
    terms = [str(one or "") for one in many]
    if not any(terms):
        return []
    known = all(term in python_encoding for term in terms if term)
    return terms if known else None


def _write(report: Dataset, terms: list[str]) -> bytes | None:
    if terms:
        report.SpecificCharacterSet = terms if len(terms) > 1 else terms[0]
    elif "SpecificCharacterSet" in report:
        del report.SpecificCharacterSet
    buffer = BytesIO()
    try:
        dcmwrite(
            buffer,
            report,
            implicit_vr=False,
            little_endian=True,
            enforce_file_format=True,
        )
    except UnicodeError:
        return None
    return buffer.getvalue()


def _reads_back(content: bytes, meant: list[str]) -> bool:
    read = dcmread(BytesIO(content))
    return (
        read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        and _texts(read) == meant
    )


def _texts(dataset: Dataset) -> list[str]:
    """Return every text of a data set, in the order of its elements."""
    found: list[str] = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                found += _texts(item)
        elif element.VR in _TEXT_VRS:
            many = element.value
            values = many if isinstance(many, MultiValue | list) else [many]
            found += [str(one).rstrip(" ") for one in values if one is not None]
    return found
