"""Our own reports as trees."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.core.errors import ReportError
from dicom_node.web.sr_view import Node, read_tree
from tests.unit.report import examples


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sr")
    files = [examples.write_source(folder / "image.dcm")]
    written = examples.build_all(files, examples.prediction_for(files))
    path = folder / "report.dcm"
    path.write_bytes(written[0][1])
    return path


def _walk(node: Node) -> list[Node]:
    return [node, *(item for child in node.children for item in _walk(child))]


def _count(item: Dataset) -> int:
    return 1 + sum(_count(child) for child in item.get("ContentSequence", ()))


def test_every_content_item_is_in_the_tree(report: Path) -> None:
    tree = read_tree(report)
    assert len(_walk(tree)) == _count(dcmread(report))
    assert (tree.name, tree.code) == ("Imaging Measurement Report", "126000 DCM")


def test_values_are_read_as_people_do(report: Path) -> None:
    found = {node.name: node for node in _walk(read_tree(report))}
    assert found["Probability"].text == "0.93"  # UCUM "1" is no unit to read
    assert found["Finding"].text == "Pneumonia"
    assert found["Finding"].value_code == "233604007 SCT"
    assert found["Source of Measurement"].image


def test_a_damaged_or_missing_report_says_what_it_is(
    report: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(report.read_bytes()[:150])
    with pytest.raises(ReportError):
        read_tree(broken)
    with pytest.raises(ReportError, match="gone"):
        read_tree(tmp_path / "nothing.dcm")


def test_a_tree_deeper_than_a_page_shows_is_refused(
    report: Path, tmp_path: Path
) -> None:
    dataset = dcmread(report)
    deep = dataset.ContentSequence[-1]
    for _ in range(40):
        holder = Dataset()
        holder.ValueType = "CONTAINER"
        holder.ContentSequence = [deep]
        deep = holder
    dataset.ContentSequence.append(deep)
    path = tmp_path / "deep.dcm"
    dataset.save_as(path)
    with pytest.raises(ReportError, match="too large to be shown"):
        read_tree(path)
