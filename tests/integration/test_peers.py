"""The test peers themselves: a fixture that lies makes every test worthless."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests import peers
from tests.orthanc import Orthanc
from tests.peers import StoreScp, dcmsend, echoscu, require_tool, storescu


def test_orthanc_takes_a_study_and_shows_it_through_rest(orthanc: Orthanc) -> None:
    file = get_testdata_file("CT_small.dcm", download=False)
    assert file is not None
    assert echoscu(orthanc.address)
    assert orthanc.studies() == []
    sent = storescu(orthanc.address, [Path(file)])
    assert sent.returncode == 0, sent.stdout
    assert len(orthanc.studies()) == 1
    assert orthanc.reports() == []


def test_storescp_writes_what_dcmsend_sends(storescp: StoreScp) -> None:
    file = get_testdata_file("JPEG2000.dcm", download=False)
    assert file is not None
    sent = dcmsend(storescp.address, [Path(file)])
    assert sent.returncode == 0, sent.stdout
    assert len(storescp.files()) == 1


def test_a_missing_tool_skips_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is missing"):
        require_tool("no-such-tool")


def test_a_missing_tool_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool is missing"):
        require_tool("no-such-tool")


def test_missing_data_skips_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(peers.DATA_VARIABLE, "/nowhere")
    with pytest.raises(pytest.skip.Exception, match=peers.DATA_VARIABLE):
        peers.shared_data("dicom")
