"""The page is made of the rows and of nothing else."""

import json
from pathlib import Path

import pytest

from tests.faults import rows, table


def test_rows_come_back_as_a_page_in_the_order_of_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    monkeypatch.setenv(rows.OUT_VARIABLE, str(file))
    for row_id, kills in (("F01", 2), ("F10", 3), ("F01", 3)):
        with rows.fault_row(row_id, fault="a|b", how="h", expected="e") as measured:
            measured |= {"kills": kills, "lost": 0}
    with (
        pytest.raises(ZeroDivisionError),
        rows.fault_row("F1", fault="f", how="h", expected="e"),
    ):
        raise ZeroDivisionError
    with (
        pytest.raises(pytest.skip.Exception),
        rows.fault_row("F3", fault="f", how="h", expected="e"),
    ):
        pytest.skip("no disk")
    assert table.main([str(file)]) == 0
    page = capsys.readouterr().out
    found = [line[2:].split()[0] for line in page.splitlines() if line[:3] == "| F"]
    assert found == ["F01", "F01", "F1", "F3", "F10"]
    assert "| F1 | f | h | e | FAILED |" in page
    assert "a\\|b" in page
    assert "skipped: reason no disk" in page
    assert "5 of 5" in page
    assert "3 of 4, 1 skipped" in page


def test_what_held_only_in_a_second_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv(rows.OUT_VARIABLE, str(first))
    for fault in ("mended", "stays"):
        with (
            pytest.raises(ZeroDivisionError),
            rows.fault_row("F16", fault=fault, how="h", expected="e"),
        ):
            raise ZeroDivisionError
    with rows.fault_row("F16", fault="held", how="h", expected="e"):
        pass
    monkeypatch.setenv(rows.OUT_VARIABLE, str(second))
    with rows.fault_row("F16", fault="mended", how="h", expected="e"):
        pass
    assert table.main([str(first), str(second)]) == 0
    page = capsys.readouterr().out
    assert "| F16 | held | h | e | held |" in page
    assert "| F16 | mended | h | e | held in a second run |" in page
    assert "| F16 | stays | h | e | FAILED |" in page
    assert "2 of 3" in page


def test_no_rows_make_no_page(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("")
    assert table.main([str(file)]) == 1


def test_nothing_is_written_unless_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(rows.OUT_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with rows.fault_row("F1", fault="f", how="h", expected="e"):
        pass
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(rows.OUT_VARIABLE, "rows")
    with rows.fault_row("F1", fault="f", how="h", expected="e"):
        pass
    assert json.loads(Path("rows").read_text())["outcome"] == "held"
