"""The documents agree with the code they describe."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dicom_node.cli import build_parser
from dicom_node.core import errors
from dicom_node.deliver.choose import SR_CLASS_UIDS
from dicom_node.deliver.status import read_status
from dicom_node.receive import events
from inference.pixels.codecs import decodable_transfer_syntaxes
from tests.peers import PROJECT

DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])


def _text(name: str) -> str:
    return (PROJECT / "docs" / name).read_text()


def _section(text: str, heading: str) -> str:
    return text.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]


def test_dependencies_md_lists_every_dependency_and_no_other() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = {canonicalize_name(Requirement(t).name) for t in project["dependencies"]}
    for extra in project["optional-dependencies"].values():
        wanted |= {canonicalize_name(Requirement(text).name) for text in extra}
    rows = re.findall(r"^\| ([a-z0-9_-]+) \|", _text("dependencies.md"), flags=re.M)
    assert set(rows) - {"package"} == wanted - {project["name"]}


def test_conformance_md_lists_the_transfer_syntaxes_that_are_accepted() -> None:
    section = _section(_text("conformance.md"), "Transfer syntaxes accepted")
    listed = re.findall(r"^\| (1\.2\.[0-9.]+) \|", section, flags=re.M)
    assert sorted(listed) == sorted(map(str, decodable_transfer_syntaxes()))


def test_conformance_md_lists_the_sr_classes_that_are_sent() -> None:
    section = _section(_text("conformance.md"), "Services")
    for uid in SR_CLASS_UIDS.values():
        assert str(uid) in section


def test_conformance_md_lists_the_statuses_that_are_returned() -> None:
    section = _section(_text("conformance.md"), "C-STORE statuses returned")
    listed = {
        int(text, 16) for text in re.findall(r"^\| (0x\w{4})", section, flags=re.M)
    }
    raised = {
        kind.status
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ReceiveError)
    }
    assert raised <= listed


def test_conformance_md_lists_the_statuses_of_commitment_reports() -> None:
    section = _section(_text("conformance.md"), "Storage Commitment")
    rows = re.findall(r"^\| (0x.*?) \|", section, flags=re.M)
    listed = {int(text, 16) for row in rows for text in row.split(", ")}
    returned = {
        value
        for name, value in vars(events).items()
        if name[0].isupper() and isinstance(value, int) and value <= 0xFFFF
    }
    assert returned == listed


@pytest.mark.parametrize(
    ("status", "taken", "retryable"),
    [
        (0x0000, True, False),
        (0xB000, True, False),
        (0xB007, True, False),
        (0xA700, False, True),
        (0x0110, False, True),
        (0x0213, False, True),
        (0xA900, False, False),
        (0xC000, False, False),
        (0x0122, False, False),
    ],
)
def test_conformance_md_says_what_follows_from_a_received_status(
    status: int, taken: bool, retryable: bool
) -> None:
    meaning = read_status(status)
    assert (meaning.taken, meaning.retryable) == (taken, retryable)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    path = document
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    blocks = "\n".join(
        "".join(pair)
        for pair in re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, re.S)
    )
    usage = build_parser().format_help()
    known = set(re.findall(r"^    ([a-z]+) ", usage, flags=re.M))
    named = set(re.findall(r"(?:^|[/ ])dicom-node ([a-z]+)\b", blocks, flags=re.M))
    assert named <= known, named - known
