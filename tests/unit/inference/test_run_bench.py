"""Measuring engines, and keeping the fastest for this machine."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dicom_node.core.errors import InferenceError
from inference.run.bench import Speed, bench, recommend
from inference.run.engines import recommended
from inference.run.engines.choose import LIMIT, Chosen, keep_bits, resolve_wish
from inference.run.engines.engine import (
    REFERENCE,
    EngineSpec,
    engines_here,
    has_bf16_instructions,
)
from inference.run.options import EngineWish, RunOptions
from inference.vit.model import TimmModel
from tests.unit.inference.cards import make_bundle, make_card

CPU = torch.device("cpu")
FP32 = Speed(engine="eager", precision="fp32", device="cpu", batch_size=4, batched=10.0)


def test_the_reference_is_measured_first_and_on_the_device_asked_for(
    tmp_path: Path,
) -> None:
    options = RunOptions(device="cpu", max_batch_size=2)
    first = next(bench(make_bundle(tmp_path / "m"), options, min_seconds=0.01))
    assert (first.engine, first.precision, first.device) == ("eager", "fp32", "cpu")
    assert (first.batch_size, first.difference) == (2, 0.0)
    assert first.alone > 0
    assert first.batched > 0


def test_the_fastest_that_keeps_the_scores_is_recommended() -> None:
    faster = replace(FP32, engine="openvino", batched=20.0, difference=LIMIT)
    wrong = replace(FP32, precision="bf16", batched=40.0, difference=2 * LIMIT)
    absent = replace(FP32, engine="compile", batched=80.0, unavailable="no compiler")
    assert recommend([FP32, faster, wrong, absent]) is faster
    with pytest.raises(InferenceError, match="no engine"):
        recommend([wrong, absent])


def test_a_score_that_is_no_number_is_never_recommended() -> None:
    broken = replace(FP32, precision="bf16", batched=40.0, difference=float("nan"))
    assert recommend([FP32, broken]) is FP32


def test_what_was_kept_holds_for_the_same_weights_on_this_machine(
    tmp_path: Path,
) -> None:
    card = make_card(tmp_path)
    file = tmp_path / "data" / "engines.json"
    wish = EngineWish(recommendations=file)
    assert resolve_wish(wish, card, CPU) == REFERENCE
    kept = EngineSpec("openvino", "fp32")
    recommended.keep(file, card, kept)
    assert resolve_wish(wish, card, CPU) == kept
    assert resolve_wish(wish, replace(card, weights_sha256="1" * 64), CPU) == REFERENCE
    named = replace(wish, engine="eager")
    assert resolve_wish(named, card, CPU) == REFERENCE
    file.write_text(json.dumps({"another machine": {card.weights_sha256: "x"}}))
    assert resolve_wish(wish, card, CPU) == REFERENCE
    file.write_text("not JSON")
    assert resolve_wish(wish, card, CPU) == REFERENCE


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("flags\t\t: fpu avx2 avx512f", False),
        ("flags\t\t: fpu avx512_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("model name\t: bf16", False),
    ],
)
def test_bfloat16_is_tried_where_the_processor_has_it(
    tmp_path: Path, line: str, there: bool
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\n{line}\n")
    assert has_bf16_instructions(info) is there
    assert not has_bf16_instructions(tmp_path / "none")


def test_the_reference_comes_first_of_the_engines() -> None:
    assert engines_here(CPU)[0] == REFERENCE


@pytest.mark.parametrize(
    "architecture", [pytest.param("resnet10t", marks=pytest.mark.slow), ""]
)
def test_the_batches_that_are_measured_are_those_that_the_node_runs(
    tmp_path: Path, architecture: str
) -> None:
    named = {"architecture": architecture, "arch_options": ()} if architecture else {}
    card = make_bundle(tmp_path / "m", **named)
    options = RunOptions(device="cpu", max_batch_size=2)
    speed = next(bench(card, options, min_seconds=0.01))
    model = TimmModel(card)
    model.load("cpu")
    assert speed.apart is (model.chosen.largest > 0)
    assert speed.batch_size == (1 if model.chosen.one_by_one else 2)


class _RoundsByTheBatch:
    """An engine whose scores follow from how many images it is given."""

    spec = EngineSpec("openvino", "fp32")

    def run(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, :1] + len(images)


def test_an_engine_that_no_mending_helps_runs_single_images(tmp_path: Path) -> None:
    chosen = Chosen(engine=_RoundsByTheBatch(), difference=0.0)
    assert keep_bits(chosen, make_card(tmp_path)) == replace(chosen, one_by_one=True)
