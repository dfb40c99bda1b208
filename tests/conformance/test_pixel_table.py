"""Every file at hand has a verdict in docs/pixels.md, and still earns it."""

from pathlib import Path

import pytest

from tests.conformance.pixel_files import (
    DICOM,
    MISSING,
    all_files,
    image_files,
    name_of,
)
from tests.conformance.pixel_references import has_dcmtk
from tests.conformance.pixel_table import Row, make_row, read_table, row_name
from tests.conformance.pixel_verdicts import judge

TABLE = read_table()

# These references are wrong about a file; the others at hand confirm us.
WRONG_ELSEWHERE = {
    "shared:lut/mlut_18.dcm": {"highdicom shown"},  # ignores a LUT from -2048 on
    "shared:big_endian/OBXXXX1A_expb.dcm": {"pydicom shown"},  # palette's byte order
    # As PS3.5 8.2 has it, dcmtk takes 32 bits in OW for two words, lower one first;
    # these were written with all four bytes swapped.
    "pydicom:test_files/rtdose_expb.dcm": {"dcmtk shown"},
    "pydicom:test_files/rtdose_expb_1frame.dcm": {"dcmtk shown"},
}


@pytest.mark.parametrize("path", image_files(), ids=name_of)
def test_every_file_earns_the_verdict_that_the_manual_gives_it(path: Path) -> None:
    assert row_name(path) in TABLE, "no verdict: run tests.conformance.pixel_table"
    verdict = judge(path)
    assert verdict.wrong <= WRONG_ELSEWHERE.get(name_of(path), set())
    found = make_row(path, verdict)
    (told,) = (row for row in TABLE[found.name] if row.outcome == found.outcome)
    assert (told.syntax, told.photometric) == (found.syntax, found.photometric)
    if has_dcmtk():
        assert set(found.differences) == set(told.differences)
    for reference, difference in found.differences.items():
        assert difference <= 1.5 * told.differences[reference] + 1e-6
    if found.outcome.startswith("shown"):
        assert found.differences, "nobody else can read it"


def test_a_file_without_pixels_is_refused_for_that() -> None:
    from dicom_node.core.errors import PixelError
    from inference.pixels.frames import open_image

    without = sorted(set(all_files()) - set(image_files()))
    assert without
    for path in without:
        with pytest.raises(PixelError) as refused:
            open_image(path)
        assert str(refused.value)


@pytest.mark.skipif(not DICOM.is_dir(), reason=MISSING)
def test_the_table_has_no_row_without_a_file() -> None:
    assert set(TABLE) == {row_name(path) for path in image_files()}


@pytest.mark.parametrize("row", [Row("a", "b", "c", "shown: d", {"dcmtk shown": 0.5})])
def test_a_row_is_read_as_it_was_written(row: Row) -> None:
    assert Row.read(row.line) == row
