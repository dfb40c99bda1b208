"""How the status of a delivery is written."""

import pytest

from db.summary import describe_status


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
