"""`replay --verify`: the same bits, or by how much not and what changed since."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_node.cli import main
from dicom_node.core.states import Outcome
from inference.api import InputSpec
from inference.card import load_card
from tests.e2e.images import make_radiograph
from tests.integration.kept import KeptNode, keep_study
from tests.unit.inference.cards import PNEUMONIA, make_bundle, write_bundle

STUDY = "1.2.826.0.1.3680043.9.1"
IMAGES = 3

Change = Callable[[Path], None]


@pytest.fixture
def node(tmp_path: Path) -> KeptNode:
    """A node that has inferred on three images with one thread."""
    make_bundle(
        tmp_path / "bundles" / "tiny",
        classes=(replace(PNEUMONIA, threshold=1e-6),),
        input=InputSpec(size=(64, 64), windowing="percentile"),
    )
    _configure(tmp_path, threads=1)
    node = KeptNode(configuration=tmp_path / "node.toml")
    images = [make_radiograph(STUDY, number=n) for n in range(1, IMAGES + 1)]
    assert keep_study(node.configuration, images) is Outcome.PRESENT
    return node


def _configure(folder: Path, *, threads: int) -> None:
    (folder / "node.toml").write_text(
        f"""
[receive]
min_free_bytes = 1000000
[models]
folder = "bundles"
device = "cpu"
threads = {threads}
[[destinations]]
name = "pacs"
kind = "folder"
folder = "reports"
[[routes]]
name = "all"
model = "tiny"
destinations = ["pacs"]
""",
        encoding="utf-8",
    )


def _verify(
    node: KeptNode, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, Any]]:
    """Return the exit code and what is said of the only model, or the whole answer."""
    arguments = ["replay", "--verify", STUDY, "--json", *more]
    code = main([*arguments, "--config", str(node.configuration)])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["agrees"] is {0: True, 1: False, 2: None}[code]
    return code, answer["models"][0] if answer["models"] else answer


def _bundle(node: KeptNode) -> Path:
    return node.configuration.parent / "bundles" / "tiny"


def _change_weights(node: KeptNode, by: float) -> None:
    card = load_card(_bundle(node))
    state = load_file(card.weights_path)
    name = next(name for name in state if name.endswith("head.weight"))
    torch.manual_seed(11)
    state[name] = state[name] + by * torch.randn(state[name].shape)
    save_file(state, card.weights_path)
    write_bundle(card)


def _whats(found: dict[str, Any]) -> list[str]:
    return [change["what"] for change in found["changed"]]


def test_the_same_study_gives_the_same_bits(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = _verify(node, capsys)
    assert code == 0
    assert found["verdict"] == "bit-equal"
    # A score an image; probability and threshold of one finding.
    assert (found["images"], found["numbers"]) == (IMAGES, IMAGES + 2)
    assert (found["largest"], found["differences"], found["changed"]) == (None, [], [])
    assert main(["replay", "--verify", STUDY, "--config", str(node.configuration)]) == 0
    assert capsys.readouterr().out.startswith("tiny: bit-equal, 5 numbers of 3 images")


def test_it_runs_with_the_threads_of_then(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(node.configuration.parent, threads=2)
    code, found = _verify(node, capsys)
    assert (code, found["changed"]) == (0, [])


def test_other_weights_are_named_with_the_largest_difference(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _scores(node, capsys)
    _change_weights(node, by=0.5)
    code, found = _verify(node, capsys)
    assert code == 1
    assert found["verdict"] == "different"
    assert _whats(found)[0] == "weights"
    largest = found["largest"]
    assert largest["before"] in before
    assert largest["difference"] == abs(largest["before"] - largest["after"]) > 0
    assert "Pneumonia" in largest["where"]
    assert main(["replay", "--verify", STUDY, "--config", str(node.configuration)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("tiny: different\n  largest difference ")
    assert "changed since: weights, was " in said


def _scores(node: KeptNode, capsys: pytest.CaptureFixture[str]) -> list[float]:
    assert main(["show", STUDY, "--json", "--config", str(node.configuration)]) == 0
    [job] = json.loads(capsys.readouterr().out)["jobs"]
    return [score for image in job["prediction"]["images"] for score in image["scores"]]


def test_a_tolerance_lets_small_differences_pass_and_no_others(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    _change_weights(node, by=1e-4)
    code, found = _verify(node, capsys)
    assert (code, found["verdict"]) == (1, "different")
    difference = found["largest"]["difference"]
    code, found = _verify(node, capsys, "--tolerance", repr(difference))
    assert (code, found["verdict"]) == (0, "within tolerance")
    code, found = _verify(node, capsys, "--tolerance", repr(difference * 0.99))
    assert code == 1


def test_no_tolerance_covers_another_decision(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    card = load_card(_bundle(node))
    write_bundle(replace(card, classes=(replace(card.classes[0], threshold=1.0),)))
    code, found = _verify(node, capsys, "--tolerance", "1")
    assert code == 1
    assert "the outcome was present and is absent" in found["differences"]
    assert {"card", "setting classes"} <= set(_whats(found))


def test_a_changed_setting_is_named_with_both_values(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    card = load_card(_bundle(node))
    write_bundle(replace(card, input=replace(card.input, percentiles=(10.0, 90.0))))
    code, found = _verify(node, capsys)
    assert code == 1
    assert {
        "what": "setting input.percentiles",
        "before": "[1.0,99.0]",
        "after": "[10.0,90.0]",
    } in found["changed"]


def test_an_input_that_is_gone_cannot_be_run_again(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.files[0].unlink()
    code, answer = _verify(node, capsys)
    assert code == 2
    assert answer["error"].startswith("1 of 3 stored files are gone or differ")


def test_an_input_that_was_damaged_at_rest_cannot_be_run_again(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(node.files[1].read_bytes())
    content[-10] ^= 1
    node.files[1].write_bytes(content)
    code, answer = _verify(node, capsys)
    assert code == 2
    assert "number " in answer["error"]


def test_a_model_that_is_gone_cannot_be_run_again(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    _bundle(node).rename(_bundle(node).with_name("other"))
    code, answer = _verify(node, capsys)
    assert code == 2
    assert "there is no model 'tiny'" in answer["error"]


def test_show_says_what_a_result_was_made_with(
    node: KeptNode, capsys: pytest.CaptureFixture[str]
) -> None:
    card = load_card(_bundle(node))
    assert main(["show", STUDY, "--config", str(node.configuration)]) == 0
    said = capsys.readouterr().out
    assert f"weights {card.weights_sha256[:12]}" in said
    assert "torch " in said
    assert main(["show", STUDY, "--json", "--config", str(node.configuration)]) == 0
    [job] = json.loads(capsys.readouterr().out)["jobs"]
    made_with = job["prediction"]["provenance"]
    assert made_with["weights_sha256"] == card.weights_sha256
    assert len(made_with["inputs"]) == IMAGES
    assert all(len(item["dataset_digest"]) == 32 for item in made_with["inputs"])
