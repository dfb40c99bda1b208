"""ORU^R01 as the standards notes ask for it, read back by hl7apy."""

import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hl7apy.parser import parse_message
from pydicom.dataset import Dataset

from config.destinations import DestinationTable
from config.worklist import PriorityRule, WorklistTable
from dicom_node.core.hl7 import read_message
from dicom_node.core.ids import DeviceUID
from dicom_node.core.states import Outcome, ReportKind, Urgency
from dicom_node.core.types import CodedConcept, Prediction, Report, Suggestion
from dicom_node.worklist.hl7 import HL7Writer
from dicom_node.worklist.order import read_order
from tests.peers import PROJECT
from tests.unit.pipeline.parts import FolderStore
from tests.unit.worklist.results import (
    IMAGE,
    PNEUMONIA,
    RIGHT,
    STUDY,
    finding,
    image_file,
    measured,
    nothing,
    prediction,
    result,
    stat,
)

VERSIONS = ("2.3.1", "2.4", "2.5", "2.5.1", "2.6")


class Desk:
    """A writer with the files of its destinations and of the study."""

    def __init__(self, folder: Path, **image: Any) -> None:
        self.store = FolderStore(folder / "reports")
        self.files = (image_file(folder, **image),)
        self.others: Sequence[Suggestion] = ()
        self.rule = PriorityRule(finding="pneumothorax", urgency="STAT")
        self.table = DestinationTable(
            name="ris",
            kind="hl7",
            host="localhost",
            port=2575,
            receiving_application="RIS",
            receiving_facility="HOSP^1.2.3^ISO",
        )

    def write(
        self,
        made: Prediction,
        *,
        suggestion: Suggestion | None = None,
        revision: int = 1,
        earlier: Report | None = None,
    ) -> tuple[Report, bytes] | None:
        writer = HL7Writer(
            node="AINODE",
            worklist=WorklistTable(sending_facility="RAD", rules=(self.rule,)),
            destinations={"ris": self.table},
            reports=self.store,
            others=lambda job, at: self.others,
        )
        given = result(self.files, made, suggestion=suggestion, revision=revision)
        return writer.write(given, destination="ris", earlier=earlier)

    def keep(self, made: Prediction, suggestion: Suggestion | None = None) -> Report:
        """Write what an earlier revision says, and keep it."""
        written = self.write(made, suggestion=suggestion)
        assert written is not None
        return replace(written[0], file_key=self.store.put(written[1]))

    def lines(self, made: Prediction, **more: Any) -> list[str]:
        """Write a message that must be there; return its segments."""
        written = self.write(made, **more)
        assert written is not None
        return written[1].decode(codec_of(written[1])).split("\r")[:-1]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A destination of the defaults."""
    return Desk(tmp_path)


def codec_of(message: bytes) -> str:
    """Return how a message's MSH-18 is spelled in Python."""
    charset = message.split(b"\r")[0].split(b"|")[17]
    return {b"UNICODE UTF-8": "utf-8", b"8859/1": "latin-1", b"KS X 1001": "euc_kr"}[
        charset
    ]


def of(lines: Sequence[str], name: str) -> list[list[str]]:
    """Return the fields of the segments of this name."""
    return [line.split("|") for line in lines if line.startswith(f"{name}|")]


def validate(lines: Sequence[str]) -> None:
    """Let hl7apy check structure, cardinality and data types."""
    message = parse_message("\r".join(lines) + "\r", find_groups=True)
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        message.validate(report_file=str(report))  # raises at the first error
        warnings = report.read_text().splitlines()
    # Its tables of value types, character sets and coding systems are older than
    # CWE, HD, UTF-8, SCT and UCUM, which the notes' own message has.
    known = re.compile("not in table HL7(0004|0125|0211|0396) ")
    assert [one for one in warnings if not known.search(one)] == []


FULL = (
    finding(laterality=RIGHT, note="from one image"),
    finding(PNEUMONIA, 0.12),
    finding(PNEUMONIA, 0.4, None),
    measured(41.25, 55.0),
)


def test_a_finding_is_written_as_the_notes_say(desk: Desk) -> None:
    lines = desk.lines(prediction(finding()), suggestion=stat())
    control_id = of(lines, "MSH")[0][9]
    at = "20261122173224+0000"
    method = f"|||{at}|||AI^cxr 1.2.0^L|cxr^AINODE^2.25.77^ISO"
    assert lines == [
        f"MSH|^~\\&|AINODE|RAD|RIS|HOSP^1.2.3^ISO|{at}||ORU^R01^ORU_R01|{control_id}"
        "|P|2.5.1||||||UNICODE UTF-8",
        "PID|1||1CT1^^^HOSP^MR||Doe^Jane||19800102|F",
        "PV1|1|U",
        "ORC|RE||ACC-1",
        "OBR|1||ACC-1|363679005^Imaging procedure^SCT|||20261122173200+0100"
        f"|||||||||||||||{at}||RAD|P",
        "NTE|1|L|Research use only, not for diagnosis.",
        f"OBX|1|CWE|36118008^Pneumothorax^SCT|1|52101004^Present^SCT|||AA|||P{method}",
        f"OBX|2|NM|122157^Probability^DCM|1|0.93|1^no units^UCUM|<0.5||||P{method}",
        f"OBX|3|HD|113014^DICOM Study^DCM||{STUDY}||||||P",
        "OBX|4|CWE|AIPRIO^AI suggested reading priority^L||S^STAT^HL70485||||||P",
        "NTE|1|L|Pneumothorax 0.93 at or above 0.50",
    ]


def test_the_manual_shows_the_message_as_it_is_written(desk: Desk) -> None:
    manual = (PROJECT / "docs" / "worklist.md").read_text(encoding="utf-8")
    lines = desk.lines(prediction(finding()), suggestion=stat())
    assert "\n".join(lines) in manual


@pytest.mark.parametrize("version", VERSIONS)
def test_hl7apy_finds_no_fault_in_any_version(desk: Desk, version: str) -> None:
    desk.table = desk.table.model_copy(update={"version": version})
    lines = desk.lines(prediction(*FULL), suggestion=stat())
    validate(lines)
    assert of(lines, "MSH")[0][11] == version


def test_hl7apy_finds_no_fault_in_corrections_and_withdrawals(desk: Desk) -> None:
    earlier = desk.keep(prediction(*FULL), stat())
    corrected = desk.lines(prediction(finding(probability=0.1)), earlier=earlier)
    validate(corrected)
    validate(desk.lines(nothing(), earlier=earlier))


def test_each_finding_is_grouped_with_what_belongs_to_it(desk: Desk) -> None:
    rows = of(desk.lines(prediction(*FULL)), "OBX")
    grouped = [(row[3].split("^")[0], row[4]) for row in rows]
    assert grouped == [
        ("36118008", "1"),
        ("122157", "1"),
        ("272741003", "1"),
        ("233604007", "2"),
        ("122157", "2"),
        ("233604007", "3"),
        ("122157", "3"),
        ("18015-8", "4"),
        ("113014", ""),
    ]


def test_abnormal_flags_say_present_absent_and_undecided(desk: Desk) -> None:
    made = prediction(*FULL, finding(PNEUMONIA, 0.8))
    rows = of(desk.lines(made), "OBX")
    flags = {(row[3].split("^")[0], row[4]): row[8] for row in rows if len(row) > 8}
    assert flags["36118008", "1"] == "AA"  # a rule of the site says STAT
    assert flags["233604007", "5"] == "A"
    assert flags["233604007", "2"] == "N"
    assert flags["233604007", "3"] == ""
    values = [row[5] for row in rows if row[3].startswith("233604007")]
    assert values == [
        "272519000^Absent^SCT",
        "373068000^Undetermined^SCT",
        "52101004^Present^SCT",
    ]


def test_a_measured_value_has_its_unit_and_its_limit(desk: Desk) -> None:
    made = prediction(measured(41.25, 55.0))
    row = of(desk.lines(made), "OBX")[0]
    assert row[2:9] == [
        "NM",
        "18015-8^Ascending aorta diameter^LN",
        "1",
        "41.25",
        "mm^millimeter^UCUM",
        "<55",
        "N",
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [(1e-9, "0"), (0.00005, "0.0001"), (1.0, "1"), (0.93, "0.93"), (0.9, "0.9")],
)
def test_a_probability_has_four_places_and_no_exponent(
    desk: Desk, value: float, written: str
) -> None:
    rows = of(desk.lines(prediction(finding(probability=value))), "OBX")
    assert rows[1][5] == written


def test_the_same_result_is_the_same_message_and_another_one_is_not(desk: Desk) -> None:
    one = desk.write(prediction(finding()))
    assert one is not None
    assert desk.write(prediction(finding())) == one
    later = replace(
        prediction(finding()), finished_at=prediction().finished_at.replace(minute=59)
    )
    again = desk.write(later)
    assert again is not None
    assert again[0].sop_instance_uid == one[0].sop_instance_uid
    other = desk.write(prediction(finding(probability=0.92)))
    assert other is not None
    assert other[0].sop_instance_uid != one[0].sop_instance_uid
    second = desk.write(prediction(finding()), revision=2)
    assert second is not None
    assert second[0].sop_instance_uid != one[0].sop_instance_uid
    model = replace(prediction(finding()), device_uid=DeviceUID("2.25.78"))
    renewed = desk.write(model)
    assert renewed is not None
    assert renewed[0].sop_instance_uid != one[0].sop_instance_uid


def test_the_report_says_what_the_message_is(desk: Desk) -> None:
    written = desk.write(prediction(finding()))
    assert written is not None
    report, content = written
    assert report.kind is ReportKind.HL7
    assert report.destination == "ris"
    assert report.sha256 == sha256(content).hexdigest()
    assert len(report.sop_instance_uid) == 20  # MSH-10 of v2.5.1
    message = read_message(content)
    assert message is not None
    assert message.value("MSH", 10) == report.sop_instance_uid


def test_a_new_result_corrects_what_was_sent_and_withdraws_the_rest(desk: Desk) -> None:
    earlier = desk.keep(prediction(finding(), finding(PNEUMONIA, 0.8)), stat())
    lines = desk.lines(
        prediction(finding(probability=0.1)), revision=2, earlier=earlier
    )
    rows = {(row[3].split("^")[0], row[4]): row for row in of(lines, "OBX")}
    assert rows["36118008", "1"][5] == "272519000^Absent^SCT"
    assert {key: row[11] for key, row in rows.items()} == {
        ("36118008", "1"): "C",
        ("122157", "1"): "C",
        ("113014", ""): "C",
        ("233604007", "2"): "X",
        ("122157", "2"): "X",
        ("AIPRIO", ""): "X",
    }
    assert rows["AIPRIO", ""][5] == ""
    assert of(lines, "OBR")[0][25] == "C"


def test_what_is_new_in_a_correction_is_preliminary(desk: Desk) -> None:
    earlier = desk.keep(prediction(finding()))
    lines = desk.lines(
        prediction(finding(), finding(PNEUMONIA, 0.8)), revision=2, earlier=earlier
    )
    states = [row[11] for row in of(lines, "OBX")]
    assert states == ["C", "C", "P", "P", "C"]


def test_an_earlier_message_that_is_gone_is_still_corrected(desk: Desk) -> None:
    earlier = desk.keep(prediction(finding()))
    desk.store.delete(earlier.file_key)
    rows = of(desk.lines(prediction(finding()), earlier=earlier), "OBX")
    assert {row[11] for row in rows} == {"C"}
    assert desk.write(nothing(), revision=2, earlier=earlier) is not None


def test_a_result_that_is_no_more_is_withdrawn_once(desk: Desk) -> None:
    earlier = desk.keep(prediction(finding()), stat())
    lines = desk.lines(nothing(), revision=2, earlier=earlier)
    rows = {row[3].split("^")[0]: row for row in of(lines, "OBX")}
    assert rows["36118008"][11] == rows["122157"][11] == rows["AIPRIO"][11] == "X"
    assert rows["111065"][5] == "111225^Not Attempted^DCM"
    assert rows["111065"][11] == "P"
    # X in OBR-25 would cancel the order (HL7 table 0123).
    assert of(lines, "OBR")[0][25] == "C"
    assert of(lines, "ORC")[0][1] == "RE"
    content = ("\r".join(lines) + "\r").encode()
    gone = replace(earlier, file_key=desk.store.put(content))
    assert desk.write(nothing(), revision=3, earlier=gone) is None


@pytest.mark.parametrize("outcome", [Outcome.NOT_EVALUATED, Outcome.FAILED])
def test_a_study_without_a_result_is_told_only_where_it_is_wanted(
    desk: Desk, outcome: Outcome
) -> None:
    made = prediction(outcome=outcome, reason="outside the scope")
    assert desk.write(made) is None
    desk.table = desk.table.model_copy(update={"send_not_evaluated": True})
    lines = desk.lines(made)
    validate(lines)
    assert of(lines, "OBX")[0][3] == "111065^Summary of Analyses^DCM"
    assert of(lines, "NTE")[-1][3] == "outside the scope"


def test_the_message_never_says_less_than_another_model_did(desk: Desk) -> None:
    routine = Suggestion(urgency=Urgency.ROUTINE, reason="nothing")
    desk.others = (stat("Haemorrhage 0.97 at or above 0.50"),)
    lines = desk.lines(prediction(finding()), suggestion=routine)
    assert of(lines, "OBX")[-1][5] == "S^STAT^HL70485"
    assert of(lines, "NTE")[-1][3] == "Haemorrhage 0.97 at or above 0.50"


@pytest.mark.parametrize(
    ("urgency", "value"),
    [(Urgency.URGENT, "A^ASAP^HL70485"), (Urgency.ROUTINE, "R^Routine^HL70485")],
)
def test_an_urgency_is_a_code_of_table_0485(
    desk: Desk, urgency: Urgency, value: str
) -> None:
    suggestion = Suggestion(urgency=urgency, reason="why")
    lines = desk.lines(prediction(finding()), suggestion=suggestion)
    assert of(lines, "OBX")[-1][5] == value


# What a hostile or careless sender puts into a name.
NASTY = "A|B~C&D\r\nOBX|9|NM|evil\x0b\x1c\x85\u2028<script>alert(1)</script>"


def test_nothing_in_a_text_separates_anything(tmp_path: Path) -> None:
    concept = CodedConcept(value="x|1", scheme="9^9", meaning="bad\r|&~\\")
    desk = Desk(
        tmp_path,
        PatientName=f"{NASTY}^Jane",
        AccessionNumber="A|^&~1",
        PatientID="P\r1",
        SpecificCharacterSet="ISO_IR 192",
    )
    made = prediction(finding(concept, note=NASTY))
    lines = desk.lines(made, suggestion=stat(NASTY))
    (tmp_path / "clean").mkdir()
    expected = Desk(tmp_path / "clean").lines(
        prediction(finding(note="x")), suggestion=stat()
    )
    assert [line[:3] for line in lines] == [line[:3] for line in expected]
    text = "\n".join(lines)
    assert not any(c in text for c in "\r\x0b\x1c\x85\u2028")
    pid = of(lines, "PID")[0]
    assert pid[5] == (
        "A\\F\\B\\R\\C\\T\\D\\X0D\\\\X0A\\OBX\\F\\9\\F\\NM\\F\\evil"
        "\\X0B\\\\X1C\\  <script>alert(1)</script>^Jane"
    )
    assert of(lines, "OBX")[0][3] == ("x\\F\\1^bad\\X0D\\\\F\\\\T\\\\R\\\\E\\^9\\S\\9")
    assert of(lines, "OBR")[0][3] == "A\\F\\\\S\\\\T\\\\R\\1"
    validate(lines)


def test_a_backslash_in_a_name_begins_another_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PatientName=["Doe^Jane", "Roe"], AccessionNumber=["1", "2"])
    lines = desk.lines(prediction(finding()))
    assert of(lines, "PID")[0][5] == "Doe^Jane"
    assert of(lines, "OBR")[0][3] == ""


def test_a_value_that_would_delete_the_receivers_is_left_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path, AccessionNumber='""')
    assert of(desk.lines(prediction(finding())), "OBR")[0][3] == ""


def test_prefix_and_suffix_change_places_between_dicom_and_hl7(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PatientName="Adams^John^Robert Quincy^Rev.^B.A.")
    pid = of(desk.lines(prediction(finding())), "PID")[0]
    assert pid[5] == "Adams^John^Robert Quincy^B.A.^Rev."


# PS3.5 annex I: Hong Gildong in Korean, as its example spells him.
HONG = "Hong^Gildong=洪^吉洞=홍^길동"


@pytest.mark.parametrize(
    ("charset", "written"),
    [
        (
            "UNICODE UTF-8",
            "Hong^Gildong^^^^^L^A~洪^吉洞^^^^^L^I~홍^길동^^^^^L^P",
        ),
        ("KS X 1001", "Hong^Gildong^^^^^L^A~洪^吉洞^^^^^L^I~홍^길동^^^^^L^P"),
        ("8859/1", "Hong^Gildong"),
    ],
)
def test_a_name_is_written_in_every_script_that_the_character_set_holds(
    tmp_path: Path, charset: str, written: str
) -> None:
    desk = Desk(tmp_path, PatientName=HONG, SpecificCharacterSet="ISO_IR 192")
    desk.table = desk.table.model_copy(update={"charset": charset})
    lines = desk.lines(prediction(finding()))
    assert of(lines, "PID")[0][5] == written
    assert of(lines, "MSH")[0][17] == charset


def test_what_no_group_can_write_is_marked_as_missing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PatientName="홍^길동", SpecificCharacterSet="ISO_IR 192")
    desk.table = desk.table.model_copy(update={"charset": "8859/1"})
    assert of(desk.lines(prediction(finding())), "PID")[0][5] == "?^??"


def test_a_patient_without_a_name_is_unspecified(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PatientName="", PatientSex="", PatientBirthDate="unknown")
    pid = of(desk.lines(prediction(finding())), "PID")[0]
    assert (pid[5], pid[7], pid[8]) == ("^^^^^^U", "", "U")


def test_the_order_is_named_as_the_images_name_it(tmp_path: Path) -> None:
    issuer, qualifiers, code, request = Dataset(), Dataset(), Dataset(), Dataset()
    issuer.LocalNamespaceEntityID = "RIS1"
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = "1.2.9", "ISO"
    code.CodeValue, code.CodingSchemeDesignator = "RCHEST", "99RIS"
    code.CodeMeaning = "Chest"
    request.RequestedProcedureCodeSequence = [code]
    desk = Desk(
        tmp_path,
        IssuerOfAccessionNumberSequence=[issuer],
        IssuerOfPatientIDQualifiersSequence=[qualifiers],
        PlacerOrderNumberImagingServiceRequest="PL-7",
        RequestAttributesSequence=[request],
    )
    lines = desk.lines(prediction(finding()))
    assert of(lines, "PID")[0][3] == "1CT1^^^HOSP&1.2.9&ISO^MR"
    assert of(lines, "OBR")[0][2:5] == ["PL-7", "ACC-1^RIS1", "RCHEST^Chest^99RIS"]
    assert of(lines, "ORC")[0] == ["ORC", "RE", "PL-7", "ACC-1^RIS1"]
    validate(lines)


def test_an_accession_number_may_stand_in_the_request(tmp_path: Path) -> None:
    one, same = Dataset(), Dataset()
    one.AccessionNumber = same.AccessionNumber = "R-9"
    desk = Desk(tmp_path, AccessionNumber=None, RequestAttributesSequence=[one, same])
    assert of(desk.lines(prediction(finding())), "OBR")[0][3] == "R-9"


def test_requests_that_disagree_give_no_accession_number(tmp_path: Path) -> None:
    one, other = Dataset(), Dataset()
    one.AccessionNumber, other.AccessionNumber = "R-9", "R-10"
    desk = Desk(tmp_path, AccessionNumber=None, RequestAttributesSequence=[one, other])
    assert of(desk.lines(prediction(finding())), "OBR")[0][3] == ""


def test_nobody_reads_the_patient_out_of_an_order(tmp_path: Path) -> None:
    order = read_order([image_file(tmp_path)], prediction(finding()))
    assert order.patient_name == "Doe^Jane"
    assert "Doe" not in repr(order)
    assert "1CT1" not in f"{order}"


def test_an_image_with_an_accession_number_names_the_order(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = image_file(tmp_path / "other", AccessionNumber="ACC-2")
    other = replace(
        other,
        sop_instance_uid=type(IMAGE)("1.2.9"),
        header=replace(other.header, accession_number="ACC-2"),
    )
    files = [image_file(tmp_path, AccessionNumber=""), other]
    assert read_order(files, prediction(finding())).accession_number == "ACC-2"


def test_the_image_that_was_evaluated_names_the_order(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = replace(
        image_file(tmp_path / "other", AccessionNumber="OLD"),
        sop_instance_uid=type(IMAGE)("1.2.9"),
    )
    files = [other, image_file(tmp_path)]
    assert read_order(files, prediction(finding())).accession_number == "ACC-1"
