"""The demo's folder: its own things are replaced, foreign ones never touched."""

from pathlib import Path

import pytest

from dicom_node.core.errors import UsageError
from dicom_node.demo.output import MARKER, make_output


def test_a_new_folder_is_made_and_marked(tmp_path: Path) -> None:
    output = make_output(tmp_path / "a" / "out", data=None)

    assert (output.folder / MARKER).is_file()


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    make_output(tmp_path, data=None)

    assert (tmp_path / MARKER).is_file()


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")

    with pytest.raises(UsageError, match="--output"):
        make_output(tmp_path, data=None)

    assert (tmp_path / "data" / "thesis.txt").exists()
    assert not (tmp_path / MARKER).exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")

    with pytest.raises(UsageError, match="--output"):
        make_output(tmp_path / "out", data=None)


def test_a_second_run_removes_what_the_first_made_and_nothing_else(
    tmp_path: Path,
) -> None:
    output = make_output(tmp_path, data=None)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    output.data.symlink_to(elsewhere)
    output.images.mkdir(parents=True)
    output.config.write_text("old")
    (tmp_path / "notes.txt").write_text("the user's own")

    make_output(tmp_path, data=None)

    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, "notes.txt"]
    assert (elsewhere / "kept").exists()


@pytest.mark.parametrize("data", ["out", "out/data", "."])
def test_the_users_files_may_not_lie_where_the_demo_deletes(
    tmp_path: Path, data: str
) -> None:
    (tmp_path / "out" / "data").mkdir(parents=True)

    with pytest.raises(UsageError, match="lie in one another"):
        make_output(tmp_path / "out", data=tmp_path / data)


def test_data_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        make_output(tmp_path / "out", data=tmp_path / "missing")
