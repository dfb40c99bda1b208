"""Whoever reads that an image was refused also reads what helps."""

import ast
from collections.abc import Iterator
from pathlib import Path

import dicom_node
from dicom_node.core.errors import CannotUnderstand, DoesNotMatch, OutOfResources
from dicom_node.core.refusal import REMEDIES, remedy_of

ROOT = Path(dicom_node.__file__).parent


def _texts() -> Iterator[str]:
    """Yield every fixed text with which the receiver cannot understand something."""
    for path in [*(ROOT / "receive").glob("*.py"), *(ROOT / "part10").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="CannotUnderstand"), args=[ast.Constant(value), *_]
                ):
                    yield str(value)


def test_every_reason_has_a_remedy_that_asks_for_something() -> None:
    texts = set(_texts())
    assert len(texts) > 20
    for text in texts:
        told = remedy_of(CannotUnderstand.status, text)
        assert told in REMEDIES
        assert any(word in told for word in ("send", "correct", "export")), text


def test_the_remedy_goes_by_what_is_wrong() -> None:
    status = CannotUnderstand.status
    no_uid = remedy_of(status, "StudyInstanceUID is missing")
    assert "UIDs" in no_uid
    assert remedy_of(
        status, "SOPInstanceUID is not a UID of at most 64 characters"
    ) == (no_uid)
    for settable in (
        "the pixels would be larger than the limit",
        "the deflated data set inflates past the limit",
        "an element is longer than max_element_bytes",
        "sequences are nested too deep",
    ):
        assert "[receive]" in remedy_of(status, settable)
    for fixed in (
        "a frame would be larger than the limit",
        "the data set has too many elements or empty ones",
        "the data set has too many private creators",
        "the data set takes too long to read",
    ):
        assert "no setting" in remedy_of(status, fixed)
    assert "damaged" in remedy_of(status, "Pixel Data is shorter than the header says")
    assert "header" in remedy_of(status, "Rows or Columns is missing or zero")
    assert "disk" in remedy_of(OutOfResources.status, "the disk is full")
    assert "another object" in remedy_of(DoesNotMatch.status, "UID differs")
    assert "log" in remedy_of(0x0110, "an internal error")
