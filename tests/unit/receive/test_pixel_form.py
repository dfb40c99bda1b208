"""Pixel Data has the form of its transfer syntax, native or encapsulated."""

import zlib

import pytest

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.scan import ScanLimits
from tests.unit.receive.build import (
    DEFLATED,
    EXPLICIT,
    encapsulated,
    encode,
    image,
    minimal,
    scan_bytes,
)

LIMITS = ScanLimits()
JPEG = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
def test_encapsulated_pixels_under_a_native_syntax_are_refused(syntax: str) -> None:
    """PS3.5 A.1, A.2, A.5: Pixel Data of these syntaxes is in native format."""
    sent = encapsulated([b"ab"])
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        sent = packer.compress(sent) + packer.flush()
    with pytest.raises(CannotUnderstand, match="encapsulated, but"):
        scan_bytes(sent, syntax, LIMITS)


@pytest.mark.parametrize("syntax", [JPEG, RLE])
def test_native_pixels_under_an_encapsulated_syntax_are_refused(syntax: str) -> None:
    """PS3.5 A.4: the length of Pixel Data is undefined in these syntaxes."""
    with pytest.raises(CannotUnderstand, match="native, but"):
        scan_bytes(encode(image()), syntax, LIMITS)


def test_the_form_of_pixels_is_checked_in_a_series_that_came_natively_before() -> None:
    sent = [encode(image(SOPInstanceUID=f"1.2.3.{n}")) for n in range(1, 7)]
    for dataset in sent:
        assert scan_bytes(dataset, EXPLICIT, LIMITS)
    with pytest.raises(CannotUnderstand, match="native, but"):
        scan_bytes(sent[0], JPEG, LIMITS)


def test_what_has_no_pixel_data_is_taken_under_an_encapsulated_syntax() -> None:
    assert scan_bytes(encode(minimal()), JPEG, LIMITS)
    floats = image(BitsAllocated=32)
    del floats.PixelData
    floats.FloatPixelData = bytes(4 * 4 * 6)
    assert scan_bytes(encode(floats), JPEG, LIMITS)
