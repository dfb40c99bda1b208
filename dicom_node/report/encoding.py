"""Objects as files: in their source's character set, read back before they leave."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from typing import Final

from pydicom import dcmread, dcmwrite
from pydicom.charset import default_encoding, python_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
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
# Tables C.12-2 to C.12-5 of PS3.3 C.12.1.1.2.
_SINGLE_BYTE: Final = (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)
_SINGLE: Final = frozenset(f"ISO_IR {number}" for number in _SINGLE_BYTE)
_EXTENDED: Final = frozenset(f"ISO 2022 IR {number}" for number in _SINGLE_BYTE)
_MULTI_BYTE: Final = frozenset(f"ISO 2022 IR {number}" for number in (58, 87, 149, 159))
_ALONE: Final = frozenset({_UTF_8, "GB18030"})
# Byte for byte the same, under names that older readers and dciodvfy know.
_BETTER_KNOWN: Final = {
    "GBK": ["GB18030"],
    "ISO_IR 13": ["ISO 2022 IR 13", "ISO 2022 IR 87"],
    "ISO 2022 IR 13": ["ISO 2022 IR 13", "ISO 2022 IR 87"],
}
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
    (finished,) = finished_forms([made], source, kind=kind, node_version=node_version)
    return finished


def finished_forms(
    forms: Sequence[Dataset], source: Dataset, *, kind: ReportKind, node_version: str
) -> tuple[tuple[Report, bytes], ...]:
    """Encode the forms of one object, such as a report in several SOP classes.

    Elements that they share, as the same Python objects, are encoded once: that is
    most of the time.

    Args:
        source: whose character set they take.

    Raises:
        ReportError: a text cannot be written in any character set.
    """
    for made in forms:
        made.file_meta = file_meta(made.SOPClassUID, made.SOPInstanceUID, node_version)
    contents = encode(forms, _defined_terms(source))
    return tuple(
        (_report_of(made, content, kind), content)
        for made, content in zip(forms, contents, strict=True)
    )


def _report_of(made: Dataset, content: bytes, kind: ReportKind) -> Report:
    return Report(
        sop_class_uid=SOPClassUID(str(made.SOPClassUID)),
        sop_instance_uid=SOPInstanceUID(str(made.SOPInstanceUID)),
        series_instance_uid=SeriesInstanceUID(str(made.SeriesInstanceUID)),
        file_key="",
        sha256=hashlib.sha256(content).hexdigest(),
        kind=kind,
    )


def encode(forms: Sequence[Dataset], terms: list[str] | None) -> tuple[bytes, ...]:
    """Write objects in their source's character set, in UTF-8 if that loses text.

    Args:
        terms: the source's Specific Character Set, None if it is not usable; []
            stands for the default repertoire.

    Raises:
        ReportError: a text cannot be written in any character set.
    """
    meant = _texts_of(forms)
    every = [text for texts in meant for text in texts]
    if terms is not None and _holds(terms, every):
        contents = _write(forms, terms)
        sure = contents is not None and _cannot_change(terms, every)
        if contents is not None and (sure or _read_back(contents, meant)):
            return contents
    contents = _write(forms, [_UTF_8])
    if contents is None or not _read_back(contents, meant):
        raise ReportError("a text of the source cannot be written in any character set")
    return contents


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
    return _as_defined(terms) if known else None


def _as_defined(terms: list[str]) -> list[str] | None:
    """Name character sets as the standard has it, where a source does so otherwise.

    Returns:
        None where they do not go together.
    """
    if len(terms) == 1:
        (only,) = terms
        if only in _BETTER_KNOWN:
            return _BETTER_KNOWN[only]
        if only in _SINGLE | _ALONE:
            return terms
        if only in _EXTENDED:  # there is nothing that extends it
            return [only.replace("ISO 2022 IR", "ISO_IR")]
    extended = [term.replace("ISO_IR", "ISO 2022 IR") for term in terms]
    if extended[0] in _MULTI_BYTE:  # the first is one of single bytes, or empty
        extended.insert(0, "")
    others = _EXTENDED | _MULTI_BYTE
    is_defined = extended[0] in _EXTENDED | {""} and others.issuperset(extended[1:])
    return extended if is_defined else None


def _write(forms: Sequence[Dataset], terms: list[str]) -> tuple[bytes, ...] | None:
    written: dict[int, bytes] = {}
    try:
        return tuple(_write_form(one, terms, written) for one in forms)
    except UnicodeError:
        return None


def _write_form(report: Dataset, terms: list[str], written: dict[int, bytes]) -> bytes:
    """Write a Part 10 file.

    Args:
        written: by the id of its element, what was written of earlier forms.
    """
    if terms:
        report.SpecificCharacterSet = terms if len(terms) > 1 else terms[0]
    elif "SpecificCharacterSet" in report:
        del report.SpecificCharacterSet
    frame = Dataset()
    frame.file_meta = report.file_meta
    buffer = BytesIO()
    dcmwrite(
        buffer, frame, implicit_vr=False, little_endian=True, enforce_file_format=True
    )
    for element in report:  # in the order of their tags, as they have to be
        if id(element) not in written:
            written[id(element)] = _encode_element(element, terms)
        buffer.write(written[id(element)])
    return buffer.getvalue()


def _encode_element(element: DataElement, terms: list[str]) -> bytes:
    alone = Dataset()
    alone.add(element)
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, alone, terms or default_encoding)
    return stream.getvalue()


def _read_back(contents: Sequence[bytes], meant: Sequence[list[str]]) -> bool:
    return all(map(_reads_back, contents, meant))


def _reads_back(content: bytes, meant: list[str]) -> bool:
    read = dcmread(BytesIO(content))
    return (
        read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        and _texts(read) == meant
    )


def _texts_of(forms: Sequence[Dataset]) -> list[list[str]]:
    """Return the texts of each, of an element that they share looked at once."""
    found: dict[int, list[str]] = {}
    for form in forms:
        for element in form:
            if id(element) not in found:
                found[id(element)] = _element_texts(element)
    return [[text for one in form for text in found[id(one)]] for form in forms]


def _texts(dataset: Dataset) -> list[str]:
    """Return every text of a data set, in the order of its elements."""
    return [text for element in dataset for text in _element_texts(element)]


def _element_texts(element: DataElement) -> list[str]:
    if element.VR == "SQ":
        return [text for item in element.value for text in _texts(item)]
    if element.VR not in _TEXT_VRS:
        return []
    many = element.value
    values = many if isinstance(many, MultiValue | list) else [many]
    return [str(one).rstrip(" ") for one in values if one is not None]
