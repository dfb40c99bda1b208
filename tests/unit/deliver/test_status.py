"""Statuses of PS3.4 B.2.3 and PS3.7 annex C."""

import pytest

from dicom_node.deliver.status import read_status


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007])
def test_success_and_warnings_mean_that_the_object_is_stored(status: int) -> None:
    assert read_status(status).taken


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0213])
def test_a_lack_of_resources_is_tried_again(status: int) -> None:
    meaning = read_status(status)

    assert not meaning.taken
    assert meaning.retryable


@pytest.mark.parametrize(
    "status", [0xA900, 0xA9FF, 0xC000, 0xC123, 0xCFFF, 0x0122, 0x0124, 0x0111, 0x0117]
)
def test_a_refusal_of_this_object_is_not_tried_again(status: int) -> None:
    meaning = read_status(status)

    assert not meaning.taken
    assert not meaning.retryable
    assert f"0x{status:04X}" in meaning.text


def test_a_status_that_the_standard_does_not_have_is_a_failure() -> None:
    assert not read_status(0x4242).taken
    assert not read_status(0xFF00).taken  # pending belongs to C-FIND
