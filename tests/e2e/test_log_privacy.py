"""Nothing that a data set says of a person leaves the node but in files: real ones."""

import dataclasses
import itertools
import json
import re
import urllib.request
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue

from tests.attacks.corpus import Sample, read_sample
from tests.attacks.peer import STATUS, Offer, Peer, context_items, store_message
from tests.e2e.conftest import StartNode
from tests.e2e.images import make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings, is_settled
from tests.peers import free_port, shared_data, storescu, wait_until

_PER_FOLDER = 45
_MAX_BYTES = 1 << 21
# Shorter ones occur in any text. The words of these two are ours: JSON keys, events.
_SHORTEST = 6
_OURS = {"instance", "received", "series"}
_DECIMAL = re.compile(r"\d*\.?\d+")
_SAY_SOMETHING = {"PN", "LO", "SH", "LT", "ST", "UT", "UI", "UC"}


def _files() -> Iterator[Path]:
    """Yield real, broken and fuzzed files, of a long series only some."""
    for folder in sorted(path for path in shared_data("dicom").iterdir()):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        yield from itertools.islice(
            (path for path in files if path.stat().st_size <= _MAX_BYTES), _PER_FOLDER
        )


def _secrets(path: Path) -> set[str]:
    """Return what a file says in text and in identifiers, as it may appear in a log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(path, force=True, stop_before_pixels=True)
        except Exception:  # noqa: BLE001 - a fuzzed file need not be readable
            return set()
        return {
            text
            for value in _values(dataset)
            for text in (value, *value.replace("=", "^").split("^"))
            if len(text) >= _SHORTEST
            and not text.startswith("1.2.840.10008.")
            and text.lower() not in _OURS
            and not _DECIMAL.fullmatch(text)
        }


def _values(dataset: Dataset) -> Iterator[str]:
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # noqa: BLE001, S112 - a fuzzed element need not be readable
            continue
        # A private SOP Class is logged as any other: it says nothing of a person.
        if element.VR in _SAY_SOMETHING and element.keyword != "SOPClassUID":
            value = element.value
            for item in value if isinstance(value, MultiValue) else [value]:
                yield str(item).strip()


def _samples(paths: Iterable[Path]) -> Iterator[Sample]:
    for path in paths:
        try:
            yield read_sample(path)
        except Exception:  # noqa: BLE001, S112 - without a meta header no sender has it
            continue


def _send(port: int, samples: list[Sample]) -> dict[str, int]:
    """Send each on an association of its own; count the answers."""
    answers: dict[str, int] = {}
    for sample in samples:
        contexts = context_items({1: (sample.sop_class, (sample.transfer_syntax,))})
        with Peer(port) as peer:
            peer.associate(Offer(contexts=contexts))
            peer.send(
                store_message(
                    sample.dataset,
                    sample.instance,
                    context=1,
                    sop_class=sample.sop_class,
                )
            )
            answer = peer.answer(within=30)
            kind = f"0x{answer.status:04X}" if answer.kind == STATUS else answer.kind
            answers[kind] = answers.get(kind, 0) + 1
            peer.release()
    return answers


@pytest.mark.slow
def test_no_log_metric_or_file_name_says_anything_of_a_data_set(
    settings: NodeSettings, start_node: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOM_NODE_NODE__LOG_LEVEL", "debug")
    web = free_port()
    extra = f"\n[web]\nport = {web}\n"
    node = start_node(dataclasses.replace(settings, extra=extra))
    paths = list(_files())
    secrets = set().union(*map(_secrets, paths))
    assert {"Yamada", "Lung_Dx-A0002", "FUZZ-PID-0001"} <= secrets
    answers = _send(node.address.port, list(_samples(paths)))
    assert answers["0x0000"] > 50
    assert sum(answers.values()) > answers["0x0000"]
    _cut_off_in_the_middle(node)
    wait_until(
        lambda: all(is_settled(study) for study in node.studies().values()),
        what="everything is worked on",
        seconds=200,
        every=1.0,
    )
    shown = _everything_shown(node, web)
    assert node.stop() == 0
    log = node.running.output()
    assert '"level": "debug"' in log
    found = sorted(text for text in secrets if _occurs(text, log + shown))
    assert found == []
    assert "Traceback" not in log
    for line in log.splitlines():
        if not line.startswith("ready"):
            json.loads(line)


def _cut_off_in_the_middle(node: Node) -> None:
    """Call with names, refuse names, and vanish while a name is on its way."""
    image = make_radiograph(new_study_uid())
    path = node.data_dir.parent / "named.dcm"
    image.save_as(path, enforce_file_format=True)
    sample = read_sample(path)
    with Peer(node.address.port) as peer:
        contexts = {1: (sample.sop_class, (sample.transfer_syntax,))}
        peer.associate(Offer(contexts=context_items(contexts)))
        message = store_message(
            sample.dataset, sample.instance, context=1, sop_class=sample.sop_class
        )
        peer.send(message[: len(message) // 2])
        peer.reset()
    storescu(node.address, [path], calling="STRANGER", options=("-aec", "WRONG"))


def _everything_shown(node: Node, web: int) -> str:
    names = "\n".join(str(path) for path in node.data_dir.rglob("*"))
    pages = []
    for page in ("/metrics", "/readyz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{web}{page}") as answer:
            pages.append(answer.read().decode())
    return names + "\n".join(pages)


def _occurs(text: str, shown: str) -> bool:
    """Look for a text as it is and as JSON writes it."""
    return text in shown or json.dumps(text)[1:-1] in shown
