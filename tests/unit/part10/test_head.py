"""The head of our files is what the standard says, and can be told from any other."""

from io import BytesIO

import pytest
from pydicom.filereader import dcmread

from dicom_node.core.errors import CannotUnderstand
from dicom_node.part10.head import (
    IMPLEMENTATION_CLASS_UID,
    file_head,
    read_head,
    split_head,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
HEAD = file_head(CT, "1.2.3", transfer_syntax_uid=EXPLICIT, source_ae_title="SCAN 1")


def test_pydicom_reads_our_file_meta() -> None:
    dataset = dcmread(BytesIO(HEAD))
    meta = dataset.file_meta
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.SourceApplicationEntityTitle == "SCAN 1"
    assert dataset.preamble == bytes(128)
    assert len(IMPLEMENTATION_CLASS_UID) <= 64


def test_a_head_gives_back_what_is_needed_of_it() -> None:
    head = read_head(HEAD + b"data set")
    assert head.transfer_syntax_uid == EXPLICIT
    assert head.source_ae_title == "SCAN 1"
    assert head.size_bytes == split_head(memoryview(HEAD)) == len(HEAD)


def test_a_head_that_is_cut_is_none() -> None:
    for length in range(len(HEAD)):
        with pytest.raises(CannotUnderstand):
            read_head(HEAD[:length])


def test_a_damaged_head_is_none_or_ends_where_it_did() -> None:
    """Text of ours may differ, the bytes that say what is where may not."""
    refused = 0
    for position in range(len(HEAD)):
        damaged = bytearray(HEAD)
        damaged[position] ^= 0xFF
        try:
            assert read_head(bytes(damaged)).size_bytes == len(HEAD)
        except CannotUnderstand:
            refused += 1
    assert refused > 132


def test_the_preamble_of_another_writer_is_none_of_ours() -> None:
    with pytest.raises(CannotUnderstand):
        read_head(b"MZ" + HEAD[2:])
