"""How many receiver processes there are where nobody says."""

import pytest

from dicom_node.receiving import processes_for


@pytest.mark.parametrize(
    ("cores", "processes"), [(1, 1), (2, 2), (8, 2), (12, 3), (64, 16)]
)
def test_more_cores_have_more_receivers(cores: int, processes: int) -> None:
    assert processes_for(cores) == processes
