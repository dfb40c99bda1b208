"""Every test file's patient and order as an HL7 message that hl7apy accepts."""

import re
from pathlib import Path

import pytest
from hl7apy.parser import parse_message

from config.destinations import DestinationTable
from config.worklist import WorklistTable
from dicom_node.core.errors import ReportError
from dicom_node.core.hl7 import read_message
from dicom_node.core.types import InputFile, RoutingHeader
from dicom_node.worklist.hl7 import HL7Writer
from tests.conformance.pixel_files import DICOM, MISSING, all_files
from tests.unit.pipeline.parts import FolderStore
from tests.unit.worklist.results import CR, IMAGE, finding, prediction, result

FILES = all_files()
# URI is of HL7 table 0301 since v2.6; the rest see tests/unit/worklist/test_hl7.py.
KNOWN = re.compile("not in table HL7(0004|0125|0211|0301|0396) ")

pytestmark = pytest.mark.skipif(not DICOM.is_dir(), reason=MISSING)


def test_every_file_gives_a_valid_message_or_none(tmp_path: Path) -> None:
    written = 0
    faults = []
    seen: set[bytes] = set()
    writer = _writer(tmp_path)
    for path in FILES:
        try:
            content = _write(writer, path)
        except ReportError:  # no DICOM file, or one without a Study Instance UID
            continue
        written += 1
        if content in seen:  # the images of a series say the same of their order
            continue
        seen.add(content)
        message = read_message(content)
        assert message is not None
        names = [segment[0] for segment in message.segments]
        assert names[:6] == ["MSH", "PID", "PV1", "ORC", "OBR", "NTE"], path.name
        assert set(names[6:]) == {"OBX"}, path.name
        if message.value("PID", 3):  # without it, it is never sent
            faults += [(path.name, fault) for fault in _faults(content, tmp_path)]
    assert written > len(FILES) / 2
    assert faults == []


def _writer(folder: Path) -> HL7Writer:
    return HL7Writer(
        node="AINODE",
        worklist=WorklistTable(),
        destinations={
            "ris": DestinationTable(name="ris", kind="hl7", host="localhost", port=1)
        },
        reports=FolderStore(folder / "reports"),
        others=lambda job, at: (),
    )


def _write(writer: HL7Writer, path: Path) -> bytes:
    file = InputFile(
        sop_instance_uid=IMAGE, sop_class_uid=CR, path=path, header=RoutingHeader()
    )
    made = result([file], prediction(finding()))
    written = writer.write(made, destination="ris", earlier=None)
    assert written is not None
    return written[1]


def _faults(content: bytes, folder: Path) -> list[str]:
    report = folder / "report"
    message = parse_message(content.decode(), find_groups=True)
    message.validate(report_file=str(report))
    return [one for one in report.read_text().splitlines() if not KNOWN.search(one)]
