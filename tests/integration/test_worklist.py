"""From images to a message at the RIS, and `worklist preview` of the same message."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

import db.queries
import db.studies
import db.work
from dicom_node import app, pipeline
from dicom_node.cli import main
from dicom_node.core.clock import SystemClock
from dicom_node.core.states import Outcome, ReportKind, WorkState
from inference.api import InputSpec, Scope
from tests.e2e.images import make_radiograph
from tests.integration.deliver.mllp import Receiver, answering, receiving
from tests.integration.kept import KeptNode, keep_study
from tests.unit.inference.cards import PNEUMONIA, make_bundle

STUDY = "1.2.826.0.1.3680043.9.5"
RULE = """
[worklist]
sending_facility = "RAD"
[[worklist.rules]]
finding = "pneumo*"
urgency = "STAT"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A node's folder with a receiver that its messages go to."""

    folder: Path
    receiver: Receiver

    @property
    def node(self) -> KeptNode:
        """What the commands of a test find on disk."""
        return KeptNode(configuration=self.folder / "node.toml")

    def configure(self, *, destination: bool = True, rules: str = RULE) -> None:
        """Write the configuration."""
        ris = f"""
[[destinations]]
name = "ris"
kind = "hl7"
host = "127.0.0.1"
port = {self.receiver.port}
receiving_application = "RIS"
"""
        text = f"""
[receive]
min_free_bytes = 1000000
[models]
folder = "bundles"
device = "cpu"
threads = 1
{rules}
{ris if destination else ""}
[[routes]]
name = "all"
model = "tiny"
destinations = {json.dumps(["ris"] if destination else [])}
"""
        (self.folder / "node.toml").write_text(text, encoding="utf-8")

    def receive(self, change: Callable[[Dataset], None] = lambda image: None) -> None:
        """Receive an image and infer on it; the finding is present."""
        image = make_radiograph(STUDY)
        change(image)
        assert keep_study(self.node.configuration, [image]) is Outcome.PRESENT

    def deliver(self) -> WorkState:
        """Work on the only delivery that is due."""
        settings = self.node.settings
        with closing(app.open_database(settings)) as database:
            delivery = db.work.claim_delivery(
                database, owner="test", now=SystemClock().now(), lease_seconds=60
            )
            assert delivery is not None
            assert delivery.kind is ReportKind.HL7
            return pipeline.on_delivery(app.build_outbox(settings, database), delivery)

    def withdraw(self) -> None:
        """Run the study again, with a model that does not take it any more."""
        settings = self.node.settings
        clock = SystemClock()
        with closing(app.open_database(settings)) as database:
            (study_id,) = db.studies.identify(database, STUDY)
            db.studies.reopen(database, study_id, now=clock.now())
            router = app.build_router(settings)
            pipeline.on_quiet_study(database, study_id, router, clock)
            job = db.work.claim_job(
                database, owner="test", now=clock.now(), lease_seconds=60
            )
            assert job is not None
            work = app.build_work(settings, database)
            assert pipeline.on_job(work, job) is Outcome.NOT_EVALUATED
            work.executor.close()

    def preview(
        self, capsys: pytest.CaptureFixture[str], *more: str, key: str = STUDY
    ) -> list[dict[str, Any]]:
        """Return what `worklist preview --json` prints."""
        arguments = ["worklist", "preview", key, "--json", *more]
        code = main([*arguments, "--config", str(self.node.configuration)])
        assert code == 0
        answer: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return answer


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """A node and a RIS that accepts everything."""
    _bundle(tmp_path)
    with receiving(answering("AA")) as receiver:
        made = Site(tmp_path, receiver)
        made.configure()
        yield made


def _bundle(folder: Path, **changes: Any) -> None:
    make_bundle(
        folder / "bundles" / "tiny",
        classes=(replace(PNEUMONIA, threshold=1e-6),),
        input=InputSpec(size=(64, 64), windowing="percentile"),
        **changes,
    )


def test_a_result_reaches_the_ris_as_it_was_previewed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.receive()
    (shown,) = site.preview(capsys)
    (message,) = shown["messages"]
    assert site.deliver() is WorkState.DONE
    (sent,) = site.receiver.messages
    assert sent.decode().split("\r")[:-1] == message["content"]
    assert message["channel"] == "hl7"
    assert message["destination"] == "ris"
    assert message["identifier"] == message["content"][0].split("|")[9]
    assert shown["suggestion"]["urgency"] == "STAT"
    assert [rule["rule"] for rule in shown["rules"]] == [1]
    assert "AIPRIO" in sent.decode()
    assert site.preview(capsys, key="A1") == [shown]


def test_a_preview_is_readable_and_sends_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.receive()
    arguments = ["worklist", "preview", STUDY]
    assert main([*arguments, "--config", str(site.node.configuration)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert any(line.startswith("  suggested priority: STAT (") for line in lines)
    assert any(line.startswith("  rule 1 says STAT: ") for line in lines)
    assert any(line.startswith("PID|1||T1^^^^MR||Test^Node") for line in lines)
    assert site.receiver.messages == []


def test_messages_can_be_previewed_before_a_destination_is_configured(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.configure(destination=False)
    site.receive()
    (shown,) = site.preview(capsys, "--format", "hl7")
    (message,) = shown["messages"]
    assert message["destination"] == ""
    assert message["content"][0].startswith("MSH|^~\\&|AINODE|RAD|||")
    (everything,) = site.preview(capsys)
    assert {one["channel"] for one in everything["messages"]} >= {"hl7", "fhir"}


def test_a_rule_can_be_tried_on_a_stored_result(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.configure(rules="")
    site.receive()
    (shown,) = site.preview(capsys)
    assert shown["suggestion"] is None
    site.configure(rules=RULE.replace("STAT", "URGENT"))
    (shown,) = site.preview(capsys)
    assert shown["suggestion"]["urgency"] == "URGENT"
    assert "AIPRIO" in "".join(shown["messages"][0]["content"])


def _without_accession(image: Dataset) -> None:
    image.AccessionNumber = ""


def test_a_study_without_an_accession_number_is_listed_as_unmatched(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.receive(_without_accession)
    (shown,) = site.preview(capsys)
    assert shown["messages"][0]["remark"].startswith("unmatched")
    assert site.deliver() is WorkState.FAILED
    assert site.receiver.messages == []
    assert main(["show", STUDY, "--config", str(site.node.configuration)]) == 0
    assert "unmatched: the images have no Accession Number" in capsys.readouterr().out


def test_what_was_never_sent_is_not_corrected(site: Site) -> None:
    site.receive(_without_accession)
    assert site.deliver() is WorkState.FAILED
    site.receive()  # a late image, which has one
    assert site.deliver() is WorkState.DONE
    (message,) = site.receiver.messages
    rows = [line.split("|") for line in message.decode().split("\r")]
    assert {row[11] for row in rows if row[0] == "OBX"} == {"P"}


def test_a_result_that_was_sent_is_corrected_by_the_next(site: Site) -> None:
    site.receive()
    assert site.deliver() is WorkState.DONE
    site.receive()
    assert site.deliver() is WorkState.DONE
    rows = [line.split("|") for line in site.receiver.messages[1].decode().split("\r")]
    assert {row[11] for row in rows if row[0] == "OBX"} == {"C"}


def test_a_result_that_a_new_revision_does_not_have_is_withdrawn(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.receive()
    assert site.deliver() is WorkState.DONE
    _bundle(site.folder, scope=Scope(modalities=("CT",)))
    site.withdraw()
    assert site.deliver() is WorkState.DONE
    first, second = (message.decode() for message in site.receiver.messages)
    assert first.split("|")[9] != second.split("|")[9]
    withdrawn = [line for line in second.split("\r") if line.startswith("OBX|")]
    states = {
        line.split("|")[3].split("^")[0]: line.split("|")[11] for line in withdrawn
    }
    assert states["122157"] == states["AIPRIO"] == "X"
    (shown,) = site.preview(capsys)
    assert shown["suggestion"] is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--destination", "nowhere"], "--destination takes one that gets messages"),
        (["--destination", "ris", "--format", "fhir"], "--format is then its kind"),
    ],
)
def test_a_preview_says_what_it_cannot_show(
    site: Site, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    site.receive()
    arguments = ["worklist", "preview", STUDY, *more]
    assert main([*arguments, "--config", str(site.node.configuration)]) == 2
    assert said in capsys.readouterr().err


def test_a_study_that_was_never_received_is_named_as_such(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.receive()
    configuration = str(site.node.configuration)
    assert main(["worklist", "preview", "1.2.9", "--config", configuration]) == 1
    assert "no study with this" in capsys.readouterr().err
