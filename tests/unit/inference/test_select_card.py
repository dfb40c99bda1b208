"""The table [selection] of a card: what may stand there, and what it comes back as."""

from pathlib import Path

import pytest

from dicom_node.core.errors import BundleError
from inference.card import load_card
from inference.select.spec import SelectionSpec
from tests.unit.inference.cards import make_bundle

WHOLE = SelectionSpec(
    modalities=("CT",),
    body_parts=("CHEST",),
    view_positions=("PA",),
    image_types=("AXIAL",),
    exclude_image_types=("MIP",),
    orientations=("axial", "oblique"),
    orientation_tolerance_degrees=20.0,
    min_slice_thickness_mm=0.5,
    max_slice_thickness_mm=2.5,
    min_number_of_frames=20,
    max_number_of_frames=2000,
    series_descriptions=("*lung*",),
    exclude_series_descriptions=("*mip*",),
    contrast=False,
    refuse_faults=("gaps",),
    series="largest",
    frames="every_nth",
    nth=10,
    max_images=64,
)


def _load(folder: Path, table: str) -> SelectionSpec:
    make_bundle(folder)
    path = folder / "card.toml"
    path.write_text(f"{path.read_text()}\n[selection]\n{table}\n", encoding="utf-8")
    return load_card(folder).selection


@pytest.mark.parametrize("spec", [WHOLE, SelectionSpec()])
def test_a_written_table_reads_back_the_same(
    tmp_path: Path, spec: SelectionSpec
) -> None:
    card = make_bundle(tmp_path / "m", selection=spec)
    assert load_card(card.folder).selection == spec
    written = (card.folder / "card.toml").read_text()
    assert ("[selection]" in written) == (spec != SelectionSpec())


def test_what_is_left_out_sets_no_limit(tmp_path: Path) -> None:
    assert _load(tmp_path / "m", 'series = "first"') == SelectionSpec(series="first")


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('frames = "every_nth"', "'every_nth' and nth go together"),
        ("nth = 3", "'every_nth' and nth go together"),
        ('frames = "every_nth"\nnth = 0', "selection.nth"),
        ('series = "biggest"', "selection.series"),
        ('orientations = ["transverse"]', "selection.orientations"),
        ('refuse_faults = ["holes"]', "selection.refuse_faults"),
        ("max_slice_thickness_mm = 0.0", "selection.max_slice_thickness_mm"),
        (
            "min_slice_thickness_mm = 5.0\nmax_slice_thickness_mm = 1.0",
            "min_slice_thickness_mm is above max_slice_thickness_mm",
        ),
        (
            "min_number_of_frames = 9\nmax_number_of_frames = 1",
            "min_number_of_frames is above max_number_of_frames",
        ),
        ("max_images = 0", "selection.max_images"),
        (
            'image_types = ["mip"]\nexclude_image_types = ["MIP"]',
            "name the same value",
        ),
        ('description = "x"', "selection.description: is not a key of a card"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(
    tmp_path: Path, table: str, fault: str
) -> None:
    with pytest.raises(BundleError, match=fault):
        _load(tmp_path / "m", table)
