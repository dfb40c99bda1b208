"""The user's own files as cases."""

import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dicom_node.core.errors import UsageError
from dicom_node.demo.images import Expected
from dicom_node.demo.own_files import find_cases
from tests.integration.deliver.peers import make_report


def test_files_are_grouped_by_study_and_others_counted(tmp_path: Path) -> None:
    bundled = get_testdata_file("CT_small.dcm", download=False)
    shutil.copy(str(bundled), tmp_path / "one.dcm")
    (tmp_path / "sub").mkdir()
    shutil.copy(str(bundled), tmp_path / "sub" / "two")
    make_report(tmp_path)
    (tmp_path / "notes.txt").write_text("none")

    cases, others = find_cases(tmp_path)

    assert others == 1
    assert sorted(len(case.files) for case in cases) == [1, 2]
    assert {case.expected for case in cases} == {Expected.ANSWERED}


def test_a_folder_without_dicom_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")

    with pytest.raises(UsageError, match="no DICOM file"):
        find_cases(tmp_path)
