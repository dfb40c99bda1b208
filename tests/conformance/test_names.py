"""The same patient's name in every object and message, as other programs read it."""

import json
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from hl7apy.parser import parse_message

from config.destinations import DestinationTable
from config.worklist import WorklistTable
from dicom_node.core.types import CodedConcept, InputFile, Prediction
from dicom_node.report.builder import SOP_CLASS_UIDS
from dicom_node.report.check import run_dciodvfy
from dicom_node.store.files import FileStore
from dicom_node.worklist.fhir import FHIRWriter
from dicom_node.worklist.hl7 import HL7Writer
from tests.peers import require_tool, run_tool
from tests.unit.report.examples import builder, prediction_for
from tests.unit.report.pictures import (
    grey,
    key_objects_of,
    result_of,
    write_picture,
    write_summary,
)

KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
GREEK = "Διονυσιος"
CYRILLIC = "Люкceмбypг"
NAMES: dict[str, tuple[Any, str]] = {
    "Korean": (["", "ISO 2022 IR 149"], KOREAN),
    "Japanese": (["", "ISO 2022 IR 87"], JAPANESE),
    "half-width katakana": (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "Greek": ("ISO_IR 126", GREEK),
    "Cyrillic": ("ISO_IR 144", CYRILLIC),
    "Latin-1": ("ISO_IR 100", "Äneas^Rüdiger^^Dr"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小东=Γειά^Мир"),
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东"),
    "script": (None, "<script>alert(1)</script>^</b>&amp;"),
    "separators": ("ISO_IR 192", 'O|Hara&Co^~Jo|e^^^"x"=김&이^~민'),
}
_NAME = re.compile(rb"^\(0010,0010\) PN \[(.*?)\] +#", re.MULTILINE)
MEANINGS = ("폐렴", "肺炎", "Πνευμονία", "Пневмония", "Œdème pulmonaire", "Pneumonia")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """All that is written of one result."""

    objects: dict[str, Path]
    hl7: bytes
    fhir: dict[str, Any]


def _hl7(file: InputFile, made: Prediction, folder: Path, charset: str) -> bytes:
    table = DestinationTable.model_validate(
        {"name": "ris", "kind": "hl7", "host": "ris", "port": 1, "charset": charset}
    )
    writer = HL7Writer(
        node="AINODE",
        worklist=WorklistTable(),
        destinations={"ris": table},
        reports=FileStore(folder / "reports", min_free_bytes=0),
        others=lambda job, at: (),
    )
    message = writer.write(result_of([file], made), destination="ris", earlier=None)
    assert message is not None
    return message[1]


def _write(
    folder: Path, terms: Any, name: str, *, meaning: str = "Pneumonia"
) -> Written:
    file = write_picture(
        folder / "source.dcm",
        grey(),
        SpecificCharacterSet=terms,
        PatientName=name,
    )
    concept = CodedConcept(value="233604007", scheme="SCT", meaning=meaning)
    made = prediction_for([file], "present")
    made = replace(made, findings=(replace(made.findings[0], concept=concept),))
    result = result_of([file], made)
    objects = {kind: folder / f"{kind}.dcm" for kind in ("sr", "sc", "kos")}
    ((_, content),) = builder().build(
        [file], made, sop_class_uids=SOP_CLASS_UIDS[:1], predecessors=()
    )
    objects["sr"].write_bytes(content)
    objects["sc"].write_bytes(write_summary(result)[1])
    selection = key_objects_of(result)
    assert selection is not None
    selection.save_as(objects["kos"])
    writer = FHIRWriter(
        destinations={
            "ehr": DestinationTable(
                name="ehr",
                kind="fhir",
                url="https://ehr.example",
                patient_id_systems={"": "urn:oid:1.2.3"},
            )
        },
        reports=FileStore(folder / "reports", min_free_bytes=0),
    )
    bundle = writer.write(result, destination="ehr", earlier=None)
    assert bundle is not None
    Bundle.model_validate_json(bundle[1])
    return Written(
        objects=objects,
        hl7=_hl7(file, made, folder, "UNICODE UTF-8"),
        fhir=json.loads(bundle[1]),
    )


def _dcmtk_reads(path: Path) -> str:
    """Return the name as dcmtk decodes it into UTF-8.

    Its iconv knows nothing of JIS: there Python's own codecs read what dcmtk shows.
    """
    tool = require_tool("dcmdump")
    command: list[str | Path] = [tool, "-q", "+P", "PatientName", "+L", path]
    terms = subprocess.run(
        [tool, "-q", "+P", "SpecificCharacterSet", path],
        capture_output=True,
        check=True,
    )
    japanese = b"ISO 2022 IR 87" in terms.stdout
    if not japanese:
        command.insert(1, "+U8")
    shown = subprocess.run(command, capture_output=True, check=True)
    found = _NAME.search(shown.stdout)
    assert found is not None, shown.stdout
    if not japanese:
        return found[1].decode().strip()
    single, *multi = found[1].split(b"=")
    names = [single.decode("shift_jis"), *(one.decode("iso2022_jp") for one in multi)]
    return "=".join(names).strip()


def _groups_of(message: bytes) -> list[list[str]]:
    """Return the components of each repetition of PID-5, as hl7apy reads them."""
    parsed = parse_message(message.decode(), find_groups=False)
    (pid,) = parsed.PID
    return [
        [component.to_er7() for component in repetition.children]
        for repetition in pid.PID_5
    ]


def _unescaped(text: str) -> str:
    """Undo the escapes of HL7 v2 (chapter 2.7.1)."""
    for escape, mark in (("F", "|"), ("S", "^"), ("R", "~"), ("T", "&"), ("E", "\\")):
        text = text.replace(f"\\{escape}\\", mark)
    return text


@pytest.mark.parametrize("script", NAMES)
def test_a_name_comes_out_of_everything_as_it_went_in(
    tmp_path: Path, script: str
) -> None:
    require_tool("dcmdump")
    terms, name = NAMES[script]
    written = _write(tmp_path, terms, name)
    for kind, path in written.objects.items():
        assert _dcmtk_reads(path) == name, kind
        assert run_dciodvfy(path) == [], kind
    groups = [group for group in name.split("=") if group]
    read = _groups_of(written.hl7)
    assert len(read) == len(groups)
    for repetition, group in zip(read, groups, strict=True):
        family_given = [_unescaped(part) for part in repetition[:2]]
        assert family_given == [*group.split("^"), ""][: len(family_given)]
    assert written.hl7.split(b"\r")[0].split(b"|")[17] == b"UNICODE UTF-8"
    (patient,) = (
        entry["resource"]
        for entry in written.fhir["entry"]
        if entry["resource"]["resourceType"] == "Patient"
    )
    families = [one.get("family", "") for one in patient["name"]]
    assert families == [group.split("^")[0] for group in groups]


@pytest.mark.parametrize(
    ("charset", "codec", "script"),
    [
        ("8859/1", "latin-1", "Latin-1"),
        ("KS X 1001", "euc_kr", "Korean"),
        ("UNICODE UTF-8", "utf-8", "Japanese"),
    ],
)
def test_msh_18_names_the_character_set_that_the_message_is_in(
    tmp_path: Path, charset: str, codec: str, script: str
) -> None:
    terms, name = NAMES[script]
    file = write_picture(
        tmp_path / "source.dcm", grey(), SpecificCharacterSet=terms, PatientName=name
    )
    message = _hl7(file, prediction_for([file], "present"), tmp_path, charset)
    assert message.split(b"\r")[0].split(b"|")[17].decode() == charset
    for group in name.split("="):
        assert group.split("^")[0] in message.decode(codec)


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("script", ["Korean", "Greek", "Latin-1"])
def test_a_finding_in_another_script_than_the_name_leaves_both_as_they_are(
    tmp_path: Path, script: str, meaning: str
) -> None:
    terms, name = NAMES[script]
    written = _write(tmp_path, terms, name, meaning=meaning)
    for kind, path in written.objects.items():
        assert _dcmtk_reads(path) == name, kind
        assert run_dciodvfy(path) == [], kind
    shown = run_tool("dcmdump", "-q", "+U8", "+L", written.objects["sr"])
    assert meaning in shown.stdout
