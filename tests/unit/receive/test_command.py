"""Command sets are read and answered alike, whether the last one was alike or not."""

import struct
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.command import Command, Requests, answer, read_command

CT = "1.2.840.10008.5.1.4.1.1.2"
UIDS = ("1.2.3", "1.2.3.4", "1.2.3.45", "2.25." + "1" * 59)


def request(uid: str, message_id: int, **others: object) -> bytes:
    """Encode a C-STORE-RQ (PS3.7 9.3.1.1) with pydicom."""
    command = Dataset()
    command.AffectedSOPClassUID = CT
    command.CommandField = 1
    command.MessageID = message_id
    command.Priority = 0
    command.CommandDataSetType = 1
    command.AffectedSOPInstanceUID = uid
    for keyword, value in others.items():
        setattr(command, keyword, value)
    return encoded(command)


def encoded(command: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR = stream.is_little_endian = True
    write_dataset(stream, command)
    return bytes(stream.getvalue())


def decoded(pdus: bytes) -> Dataset:
    """Put the PDVs of P-DATA-TF PDUs together (PS3.8 9.3.5) and read them."""
    body = b""
    while pdus:
        (length,) = struct.unpack_from(">I", pdus, 2)
        body += pdus[12 : 6 + length]
        pdus = pdus[6 + length :]
    return dcmread(BytesIO(body), force=True)


def test_requests_are_read_as_alone() -> None:
    requests = Requests()
    sent = [
        *(request(uid, number) for number in (1, 2, 0xFFFF) for uid in UIDS),
        request("1.2.3.46", 7, MoveOriginatorApplicationEntityTitle="MOVER"),
        request("1.2.3.47", 8, MoveOriginatorApplicationEntityTitle="OTHER"),
        request("1.2.3.48", 9, CommandDataSetType=0x0101),
        request("1.2.3.49", 9),
        request("1.2.3.49", 10, CommandField=0x30),
    ]
    for one in sent:
        assert requests.read(one) == read_command(one)


def test_a_request_like_the_last_one_but_cut_off_is_refused() -> None:
    requests = Requests()
    whole = request("1.2.3.4", 1)
    requests.read(whole)
    with pytest.raises(CannotUnderstand):
        requests.read(whole[:-1])


def test_elements_out_of_order_are_read() -> None:
    head, tail = request("1.2.3.4", 5), request("1.2.3.5", 6)
    size = struct.calcsize("<HHI") + 2
    requests = Requests()
    for one in (head, tail):
        at = one.index(struct.pack("<HHI", 0, 0x0110, 2))
        turned = one[:at] + one[at + size :] + one[at : at + size]
        assert requests.read(turned) == read_command(one)


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.parametrize("max_pdu_bytes", [0, 64, 16384])
def test_an_answer_says_what_it_answers(uid: str, max_pdu_bytes: int) -> None:
    for message_id in (1, 0x1234):
        command = read_command(request(uid, message_id))
        sent = answer(command, 0xA700, context_id=3, max_pdu_bytes=max_pdu_bytes)
        found = decoded(sent)
        assert found.AffectedSOPClassUID == CT
        assert found.AffectedSOPInstanceUID == uid
        assert found.CommandField == 0x8001
        assert found.MessageIDBeingRespondedTo == message_id
        assert found.CommandDataSetType == 0x0101
        assert found.Status == 0xA700
        assert found.CommandGroupLength == len(encoded(found)) - 12
        assert sent[10] == 3


def test_an_answer_without_an_instance_is_possible() -> None:
    command = Command(1, 9, True, CT.encode(), b"")
    found = decoded(answer(command, 0, context_id=1, max_pdu_bytes=0))
    assert found.MessageIDBeingRespondedTo == 9
    assert "AffectedSOPInstanceUID" not in found
