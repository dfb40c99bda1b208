"""How the status of a delivery is written."""

import pytest

from db.summary import describe_status
from dicom_node.core.states import ReportKind
from dicom_node.deliver.hl7_answer import read_answer


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (None, None),
        (0x0000, "0x0000"),
        (0x0110, "0x0110"),
        (0x0124, "0x0124"),
        (0x0211, "0x0211"),
        (0xA700, "0xA700"),
        (200, "HTTP 200"),
        (204, "HTTP 204"),
        (302, "HTTP 302"),
        (503, "HTTP 503"),
    ],
)
def test_a_status_is_written_as_its_protocol_does(
    status: int | None, text: str | None
) -> None:
    assert describe_status(status) == text


# HL7 table 0008; an answer is kept as the place of its code in that order.
@pytest.mark.parametrize("code", ["AA", "CA", "AE", "CE", "AR", "CR"])
def test_what_a_receiver_of_hl7_answered_is_told_in_its_own_code(code: str) -> None:
    frame = f"MSH|^~\\&|RIS||AI||||ACK|1|P|2.5.1\rMSA|{code}|7".encode()
    answer = read_answer(frame)
    assert answer is not None
    assert describe_status(answer.status, ReportKind.HL7) == code
    assert describe_status(answer.status, ReportKind.SR) != code
