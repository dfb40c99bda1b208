"""Any timm architecture from checked weights: numbers, refusals and batches."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_node.core.errors import BundleError, InferenceError
from dicom_node.core.types import CodedConcept
from inference.api import Calibration, ClassSpec, Image, InputSpec, ModelCard
from inference.calibrate import calibrate
from inference.vit.model import TimmModel, forward_in_halves
from inference.vit.timm_import import import_timm
from tests.unit.inference.cards import make_bundle, write_bundle

SWIN = {
    "architecture": "swin_tiny_patch4_window7_224",
    "arch_options": (("embed_dim", 24), ("window_size", 4)),
}
CONVNEXT = {"architecture": "test_convnext", "arch_options": ()}
DINO = {
    "architecture": "vit_small_patch14_dinov2",
    "arch_options": (("depth", 1), ("embed_dim", 48)),
    "input": InputSpec(size=(56, 70)),
}
DEIT = {
    "architecture": "deit_tiny_distilled_patch16_224",
    "arch_options": (("depth", 1),),
}


def _classes(number: int) -> tuple[ClassSpec, ...]:
    return tuple(
        ClassSpec(
            name=f"class {index}",
            concept=CodedConcept(value=str(index), scheme="99T", meaning=f"c{index}"),
        )
        for index in range(number)
    )


def _batch(card: ModelCard, images: int = 3) -> Image:
    shape = (images, card.input.channels, *card.input.size)
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def _plain_logits(card: ModelCard, batch: Image) -> Image:
    """Run timm without any of our code but its import."""
    options = dict(card.arch_options)
    if card.architecture != "test_convnext":
        options["img_size"] = card.input.size
    network = import_timm().create_model(
        card.architecture,
        num_classes=len(card.classes),
        in_chans=card.input.channels,
        **options,
    )
    network.load_state_dict(load_file(card.weights_path))
    with torch.no_grad():
        logits: Image = network.eval()(torch.from_numpy(batch)).numpy()
    return logits


@pytest.mark.parametrize(
    "changes",
    [{}, SWIN, CONVNEXT, DINO, DEIT],
    ids=["vit", "swin", "convnext", "dinov2", "deit"],
)
def test_scores_are_those_of_plain_timm(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    card = make_bundle(
        tmp_path / "m",
        calibration=Calibration(method="platt", slope=0.5, intercept=-0.25),
        **changes,
    )
    model = TimmModel(card)
    model.load("cpu")
    batch = _batch(card)
    expected = 1 / (1 + np.exp(-(0.5 * _plain_logits(card, batch) - 0.25)))
    scores = model.predict(batch)
    assert scores.shape == (3, 1)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert len(np.unique(scores)) == 3


def test_softmax_over_a_thousand_labels_with_temperature(tmp_path: Path) -> None:
    card = make_bundle(
        tmp_path / "m",
        classes=_classes(1000),
        activation="softmax",
        top_k=5,
        calibration=Calibration(method="temperature", slope=2.0),
    )
    model = TimmModel(card)
    model.load("cpu")
    batch = _batch(card, 1)
    powers = np.exp(2.0 * _plain_logits(card, batch).astype(np.float64))
    expected = powers / powers.sum()
    scores = model.predict(batch)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    findings = model.conclude(scores.tolist())
    best = np.argsort(-expected[0])[:5]
    assert [item.concept.value for item in findings] == [str(i) for i in best]
    assert {item.present for item in findings} == {None}


def test_a_single_channel_model_of_another_shape_runs(tmp_path: Path) -> None:
    spec = InputSpec(size=(32, 96), channels=1, mean=(0.5,), std=(0.5,))
    card = make_bundle(tmp_path / "m", input=spec)
    model = TimmModel(card)
    model.load("cpu")
    prepared = model.prepare(np.full((1, 40, 50), 0.75, np.float32))
    assert prepared.shape == (1, 32, 96)
    assert model.predict(prepared[None]).shape == (1, 1)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_run_in_float32(
    tmp_path: Path, kind: torch.dtype
) -> None:
    card = make_bundle(tmp_path / "m")
    state = load_file(card.weights_path)
    halves = {name: tensor.to(kind) for name, tensor in state.items()}
    save_file(halves, card.weights_path)
    half = TimmModel(write_bundle(card))
    half.load("cpu")
    rounded = {name: tensor.float() for name, tensor in halves.items()}
    save_file(rounded, card.weights_path)
    full = TimmModel(write_bundle(card))
    full.load("cpu")
    batch = _batch(card)
    np.testing.assert_array_equal(half.predict(batch), full.predict(batch))


def test_a_score_hardly_depends_on_the_batch_it_came_in(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    model = TimmModel(card)
    model.load("cpu")
    batch = _batch(card, 5)
    alone = np.concatenate([model.predict(batch[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(model.predict(batch), alone, rtol=1e-5)


def test_weights_with_one_changed_byte_are_refused(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    content = bytearray(card.weights_path.read_bytes())
    content[-1] ^= 1
    card.weights_path.write_bytes(content)
    with pytest.raises(BundleError, match="has sha256"):
        TimmModel(card).load("cpu")


class _Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["weights.pt", "model.bin", "weights.safetensors"])
def test_pickled_weights_are_refused_and_never_read(tmp_path: Path, name: str) -> None:
    card = make_bundle(tmp_path / "m")
    card.weights_path.unlink()
    (card.folder / name).write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    if name == "weights.safetensors":
        card = write_bundle(card)  # the digest agrees: still refused
    with pytest.raises(BundleError, match=r"safetensors\.torch\.save_file"):
        TimmModel(card).load("cpu")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop", r"1 missing \(head\.bias\)"),
        ("add", r"1 unknown \(extra\)"),
        ("shape", r"head\.weight is 2x48 and should be 1x48"),
        ("nan", "'head.bias' has values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_kind_of_misfit(
    tmp_path: Path, change: str, said: str
) -> None:
    card = make_bundle(tmp_path / "m")
    state = load_file(card.weights_path)
    if change == "drop":
        del state["head.bias"]
    elif change == "add":
        state["extra"] = torch.zeros(2)
    elif change == "shape":
        state["head.weight"] = torch.zeros(2, 48)
    else:
        state["head.bias"][0] = float("nan")
    save_file(state, card.weights_path)
    with pytest.raises(BundleError, match=said):
        TimmModel(write_bundle(card)).load("cpu")


def test_missing_and_unparseable_weights_are_refused(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    card.weights_path.write_bytes(b"\xff" * 64)
    with pytest.raises(BundleError, match="cannot be parsed"):
        TimmModel(write_bundle(card)).load("cpu")
    card.weights_path.unlink()
    with pytest.raises(BundleError, match="is missing"):
        TimmModel(card).load("cpu")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "vit_tinny_patch16_224"}, "did you mean 'vit_tiny_patch16_"),
        ({"arch_options": (("depht", 2),)}, "depht"),
        ({"architecture": "resnet10t", "arch_options": (("x", 1),)}, "cannot build"),
    ],
)
def test_an_architecture_that_timm_cannot_build_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    card = replace(make_bundle(tmp_path / "m"), **changes)  # type: ignore[arg-type]  # any field, by its name
    with pytest.raises(BundleError, match=said):
        TimmModel(card).load("cpu")


def test_loading_opens_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_bundle(tmp_path / "m", architecture="vit_tiny_patch16_224.augreg_in21k")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    model = TimmModel(card)
    model.load("cpu")
    assert model.predict(_batch(card)).shape == (3, 1)


def test_a_device_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    with pytest.raises(InferenceError, match=r"set models\.device to 'auto'"):
        TimmModel(card).load("cuda:99")
    with pytest.raises(InferenceError, match="none of"):
        TimmModel(card).load("tpu")


def test_a_batch_too_large_for_the_device_is_halved() -> None:
    sizes: list[int] = []

    def forward(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images.sum(dim=1, keepdim=True)

    images = torch.arange(14.0).reshape(7, 2)
    scores = forward_in_halves(forward, images)
    assert torch.equal(scores, images.sum(dim=1, keepdim=True))
    assert sizes == [7, 3, 1, 2, 4, 2, 2]


def test_no_memory_for_one_image_is_worth_a_retry() -> None:
    def forward(images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InferenceError) as error:
        forward_in_halves(forward, torch.zeros(4, 1))
    assert error.value.retryable


def test_a_logit_that_is_not_a_number_is_an_error() -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InferenceError, match="not a number"):
            calibrate(torch.tensor([[bad]]), Calibration(), "sigmoid")


def test_extreme_logits_give_probabilities() -> None:
    logits = torch.tensor([[1e30, -1e30]])
    for activation in ("sigmoid", "softmax"):
        scores = calibrate(logits, Calibration(), activation)
        assert scores.tolist() == [[1.0, 0.0]]
