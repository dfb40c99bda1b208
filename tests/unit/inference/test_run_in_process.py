"""The executor: studies in, predictions out."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.data import get_testdata_file

from dicom_node.core.errors import BundleError, InferenceError
from dicom_node.core.ids import SOPClassUID, SOPInstanceUID
from dicom_node.core.states import Outcome
from dicom_node.core.types import ImageResult, InputFile
from inference.api import Image, InputSpec, ModelCard, Scope
from inference.card import load_card
from inference.pixels.frames import open_image, windowed_frame
from inference.run.images import Line, Machine
from inference.run.in_process import InProcessExecutor
from inference.run.options import RunOptions, in_passing_thread, use_threads
from inference.run.outcome import settle_outcome, summarise
from inference.select.choose import select
from inference.select.frames import choose_frames
from inference.select.selection import Choice
from inference.vit.model import TimmModel
from tests.peers import wait_until
from tests.unit.inference.cards import PNEUMONIA, make_bundle, write_bundle
from tests.unit.inference.studies import HEADER, make_file, write_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drop-in folder with models for any image, for one class or a thousand."""
    folder = tmp_path_factory.mktemp("models")
    decided = replace(PNEUMONIA, threshold=1e-6)
    make_bundle(folder / "tiny", classes=(decided,), max_frames=3)
    child = Scope(modalities=("DX",), min_age_years=1, max_age_years=5)
    make_bundle(folder / "child", scope=child)
    return folder


@pytest.fixture
def executor(folder: Path) -> Iterator[InProcessExecutor]:
    """An executor on the CPU."""
    executor = InProcessExecutor(folder, RunOptions(device="cpu"))
    yield executor
    executor.close()


def _expected(card: ModelCard, file: InputFile, *numbers: int) -> float:
    """Score single frames by hand, one at a time, and take the highest."""
    model = TimmModel(card)
    model.load("cpu")
    source = open_image(file.path)
    frames = [windowed_frame(source, number, card.input).planes for number in numbers]
    scores = [model.predict(model.prepare(frame)[None])[0, 0] for frame in frames]
    return float(max(scores))


def test_a_study_gives_one_prediction_with_every_image(
    executor: InProcessExecutor, folder: Path, tmp_path: Path
) -> None:
    files = [write_image(tmp_path, number) for number in range(1, 7)]
    prediction = executor.predict("tiny", files)
    card = load_card(folder / "tiny")
    expected = [_expected(card, file, 1) for file in files]
    scores = [image.scores[0] for image in prediction.images]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert prediction.findings[0].probability == max(scores)
    assert prediction.outcome is Outcome.PRESENT
    assert prediction.reason == ""
    assert prediction.device_uid == card.device_uid
    assert prediction.weights_sha256 == card.weights_sha256
    assert prediction.research_only
    named = dict(prediction.parameters)
    assert named["aggregation over images"] == "max"
    assert named["windowing"].startswith("file window")
    assert named["input"] == "64x64, stretch"
    assert named["device"] == "cpu"
    assert prediction.started_at <= prediction.finished_at <= datetime.now(UTC)


def test_the_order_of_files_changes_no_bit(
    executor: InProcessExecutor, tmp_path: Path
) -> None:
    files = [write_image(tmp_path, number) for number in range(1, 7)]
    forward = executor.predict("tiny", files)
    backward = executor.predict("tiny", files[::-1])
    assert forward.findings == backward.findings
    assert forward.images == backward.images[::-1]


def test_a_bad_image_fails_alone(executor: InProcessExecutor, tmp_path: Path) -> None:
    good = [write_image(tmp_path, number) for number in (1, 2)]
    cut = write_image(tmp_path, 3)
    cut.path.write_bytes(cut.path.read_bytes()[:-100])
    rubbish = write_image(tmp_path, 4)
    rubbish.path.write_bytes(b"rubbish" * 100)
    gone = replace(make_file(5), path=tmp_path / "gone.dcm")
    prediction = executor.predict("tiny", [good[0], cut, rubbish, gone, good[1]])
    assert [bool(image.scores) for image in prediction.images] == [
        True, False, False, False, True,
    ]  # fmt: skip
    assert all(image.error for image in prediction.images[1:4])
    assert prediction.outcome is Outcome.PRESENT
    assert prediction.reason.startswith("3 of 5 images failed: ")
    assert executor.predict("tiny", good).findings == prediction.findings


def test_a_study_of_bad_images_only_has_failed(
    executor: InProcessExecutor, tmp_path: Path
) -> None:
    file = write_image(tmp_path, 1)
    file.path.write_bytes(b"")
    prediction = executor.predict("tiny", [file, make_file(2, has_pixels=False)])
    assert prediction.outcome is Outcome.FAILED
    assert prediction.reason
    assert prediction.findings == ()


def test_a_study_outside_the_scope_is_not_evaluated_and_says_why(
    executor: InProcessExecutor, tmp_path: Path
) -> None:
    adult = write_image(tmp_path, 1, patient_age_years=54.0)
    report = make_file(2, has_pixels=False)
    prediction = executor.predict("child", [adult, report])
    assert prediction.outcome is Outcome.NOT_EVALUATED
    assert prediction.reason == (
        "Patient's Age is 54 years; the model covers 1 to 5 years"
    )
    assert prediction.findings == ()
    assert executor.predict("child", []).reason == "The study has no images"


def test_an_image_outside_the_scope_is_never_decoded(
    executor: InProcessExecutor, tmp_path: Path
) -> None:
    inside = write_image(tmp_path, 1)
    outside = replace(make_file(2, modality="CT"), path=tmp_path / "none.dcm")
    prediction = executor.predict("child", [outside, inside])
    assert prediction.images[0].skipped.startswith("Modality is CT")
    assert prediction.images[0].error == ""
    assert prediction.images[1].scores


def test_frames_are_spread_over_a_long_image(
    executor: InProcessExecutor, folder: Path, tmp_path: Path
) -> None:
    file = write_image(tmp_path, 1, frames=20)
    image = executor.predict("tiny", [file]).images[0]
    assert image.frames == (4, 11, 17)
    expected = _expected(load_card(folder / "tiny"), file, *image.frames)
    assert image.scores[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 100, 1001])
@pytest.mark.parametrize("limit", [1, 2, 8])
def test_chosen_frames_are_distinct_and_within_the_image(
    total: int, limit: int
) -> None:
    chosen = choose_frames(total, limit)
    assert len(set(chosen)) == len(chosen) == min(total, limit)
    assert list(chosen) == sorted(chosen)
    assert chosen[0] >= 1
    assert chosen[-1] <= total


@pytest.mark.parametrize(
    ("name", "modality"), [("CT_small.dcm", "CT"), ("MR_small.dcm", "MR")]
)
def test_real_slices_give_a_score(
    executor: InProcessExecutor, name: str, modality: str
) -> None:
    path = get_testdata_file(name)
    file = InputFile(
        sop_instance_uid=SOPInstanceUID("1.2.3"),
        sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.2"),
        path=Path(str(path)),
        header=replace(HEADER, modality=modality),
    )
    prediction = executor.predict("tiny", [file])
    assert prediction.images[0].error == ""
    assert 0 <= prediction.findings[0].probability <= 1


def test_a_bundle_that_changes_while_running_is_noticed(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "models" / "m")
    executor = InProcessExecutor(tmp_path / "models", RunOptions(device="cpu"))
    file = write_image(tmp_path, 1)
    first = executor.predict("m", [file])
    content = bytearray(card.weights_path.read_bytes())
    content[-1] ^= 1
    card.weights_path.write_bytes(content)
    stat = card.weights_path.stat()
    os.utime(card.weights_path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    with pytest.raises(BundleError, match="has sha256"):
        executor.predict("m", [file])
    write_bundle(replace(card, version="1.1"))  # the change was meant
    second = executor.predict("m", [file])
    assert second.model_version == "1.1"
    assert second.device_uid != first.device_uid


def test_an_unknown_model_is_refused_by_name(executor: InProcessExecutor) -> None:
    with pytest.raises(BundleError, match="there is no model 'none'"):
        executor.predict("none", [])


def test_reasons_are_counted_when_they_differ() -> None:
    assert summarise(["a", "a"]) == "A"
    assert summarise(["a", "b", "b"]) == "2 images: B. 1 image: A"
    assert summarise(list("aabcdefg")).endswith("3 more for other reasons")


def test_reports_beside_an_image_do_not_hide_why_it_was_left_out() -> None:
    images = [
        ImageResult(sop_instance_uid=SOPInstanceUID("1"), skipped=text)
        for text in ("there is no pixel data", "Modality is CT")
    ]
    assert settle_outcome(images) == (Outcome.NOT_EVALUATED, "Modality is CT")
    assert settle_outcome(images[:1])[1] == "There is no pixel data"


class _Picky:
    """A model that refuses a batch in which an image is half black."""

    def __init__(self, card: ModelCard, *, retryable: bool) -> None:
        self.card = card
        self.retryable = retryable

    def load(self, device: str) -> None:
        """Nothing to load."""

    def prepare(self, frames: Image) -> Image:
        """Take the share of what is not black alone."""
        shown: Image = (frames > 0).mean(axis=(1, 2), keepdims=True, dtype=np.float32)
        return shown

    def predict(self, batch: Image) -> Image:
        """Give every image its value."""
        if bool((batch < 0.6).any()):
            raise InferenceError("not a number", retryable=self.retryable)
        return batch.reshape(len(batch), -1)

    def conclude(self, scores: object) -> tuple[()]:
        """No findings."""
        return ()


def _evaluate(model: _Picky, choices: Sequence[Choice]) -> tuple[ImageResult, ...]:
    machine = Machine(RunOptions(device="cpu"))
    line = Line(model, machine, threads=1)
    try:
        return line.evaluate(choices)
    finally:
        machine.close()
        line.close()


def test_an_image_that_the_model_fails_on_does_not_take_its_batch_along(
    tmp_path: Path,
) -> None:
    card = make_bundle(tmp_path / "m", input=InputSpec(size=(64, 64)))
    files = [write_image(tmp_path, number) for number in (1, 2, 3)]
    content = files[1].path.read_bytes()
    files[1].path.write_bytes(content[:-4000] + bytes(2000) + b"\1\0" * 1000)
    choices = select(files, card).choices
    images = _evaluate(_Picky(card, retryable=False), choices)
    assert [image.error for image in images] == ["", "not a number", ""]
    with pytest.raises(InferenceError):
        _evaluate(_Picky(card, retryable=True), choices)


def test_what_computes_in_passing_leaves_no_team_of_threads_behind() -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    def compute() -> int:
        use_threads(4)
        torch.ones(1 << 22).sqrt().sum()
        return threads()

    before = threads()
    assert in_passing_thread(compute) >= before + 4  # itself and three of its team
    wait_until(lambda: threads() <= before, what="its team has ended")
