"""What every model must do, whichever architecture or class it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file

from dicom_node.core.errors import BundleError
from dicom_node.core.types import CodedConcept
from inference.api import ClassSpec, Image, InputSpec, ModelCard
from inference.card import write_card
from inference.custom import AnyModel, create_model
from inference.vit.timm_import import import_timm
from tests.unit.inference.cards import PNEUMONIA, make_bundle, make_card, write_bundle

OWN = "tests.unit.inference.own_models:MeanModel"
ALLOWED = ("tests.unit.inference.*",)

Options = tuple[tuple[str, object], ...]
# The smallest variant of each kind: architecture, options, input size.
ARCHITECTURES: dict[str, tuple[str, Options, tuple[int, int]]] = {
    "vit": ("test_vit", (), (64, 64)),
    "deit": ("deit_tiny_distilled_patch16_224", (("depth", 1),), (64, 32)),
    "dinov2": (
        "vit_small_patch14_dinov2",
        (("depth", 1), ("embed_dim", 48), ("num_heads", 2)),
        (56, 70),
    ),
    "dinov3": (
        "vit_small_patch16_dinov3",
        (("depth", 1), ("embed_dim", 48), ("num_heads", 2)),
        (64, 48),
    ),
    "eva02": ("eva02_tiny_patch14_224", (("depth", 1),), (56, 56)),
    "swin": (
        "swin_tiny_patch4_window7_224",
        (("embed_dim", 24), ("depths", (1, 1)), ("num_heads", (1, 2))),
        (64, 64),
    ),
    "swin v2": (
        "swinv2_tiny_window8_256",
        (("embed_dim", 24), ("depths", (1, 1)), ("num_heads", (1, 2))),
        (64, 64),
    ),
    "maxvit": ("test_maxvit", (), (64, 64)),
    "coatnet": ("test_coatnet", (), (64, 64)),
    "hybrid": ("vit_tiny_r_s16_p8_224", (("depth", 1),), (128, 128)),
    "convnext": ("test_convnext", (), (64, 96)),
    "resnet": ("test_resnet", (), (64, 96)),
    "efficientnet": ("test_efficientnet", (), (64, 96)),
    "mobilenet": ("mobilenetv3_small_050", (), (64, 96)),
    "own class": ("", (), (64, 96)),
}


def _classes(number: int) -> tuple[ClassSpec, ...]:
    return tuple(
        replace(
            PNEUMONIA,
            name=f"class {index}",
            concept=CodedConcept(value=str(index), scheme="99T", meaning=f"c{index}"),
        )
        for index in range(number)
    )


def _bundle(folder: Path, kind: str, *, channels: int, classes: int) -> ModelCard:
    architecture, options, size = ARCHITECTURES[kind]
    spec = InputSpec(
        size=size, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels
    )
    if architecture:
        return make_bundle(
            folder,
            architecture=architecture,
            arch_options=options,
            input=spec,
            classes=_classes(classes),
        )
    folder.mkdir(parents=True)
    save_arrays({"scale": np.array([0.5])}, folder / "weights.safetensors")
    return write_bundle(
        make_card(
            folder,
            name=folder.name,
            architecture="",
            arch_options=(),
            python_class=OWN,
            input=spec,
            classes=_classes(classes),
        )
    )


def _batch(card: ModelCard, images: int = 3) -> Image:
    shape = (images, card.input.channels, *card.input.size)
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> AnyModel:
    """A loaded model of one channel and one class."""
    card = _bundle(tmp_path / "m", request.param, channels=1, classes=1)
    made = create_model(card, ALLOWED)
    made.load("cpu")
    return made


def test_a_model_keeps_the_contract(model: AnyModel) -> None:
    card = model.card
    assert model.device == "cpu"
    windowed = np.random.default_rng(2).random((1, 90, 40), dtype=np.float32)
    prepared = model.prepare(windowed)
    assert prepared.shape == (1, *card.input.size)
    assert prepared.dtype == np.float32

    batch = _batch(card)
    scores = model.predict(batch)
    assert scores.shape == (3, 1)
    assert scores.dtype == np.float32
    assert bool(((scores >= 0) & (scores <= 1)).all())
    assert len(np.unique(scores)) == 3
    np.testing.assert_array_equal(scores, model.predict(batch))
    alone = np.concatenate([model.predict(one[None]) for one in batch])
    np.testing.assert_allclose(scores, alone, rtol=1e-4, atol=1e-6)
    assert model.predict(prepared[None]).shape == (1, 1)

    (finding,) = model.conclude(scores.tolist())
    assert finding.probability == pytest.approx(float(scores.max()))
    assert finding.present is (finding.probability >= 0.5)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_scores_of_three_classes_are_those_of_plain_timm(
    tmp_path: Path, kind: str
) -> None:
    card = _bundle(tmp_path / "m", kind, channels=3, classes=3)
    model = create_model(card, ALLOWED)
    model.load("cpu")
    batch = _batch(card)
    if card.architecture:
        expected = 1 / (1 + np.exp(-_plain_logits(card, batch)))
    else:
        means = batch.mean(axis=(1, 2, 3), dtype=np.float64)
        expected = np.repeat(1 / (1 + np.exp(-0.5 * means))[:, None], 3, axis=1)
    np.testing.assert_allclose(model.predict(batch), expected, rtol=2e-4, atol=1e-6)


def _plain_logits(card: ModelCard, batch: Image) -> Image:
    """Run timm without any of our code but its import."""
    options = dict(card.arch_options)
    convolutional = "convnext", "resnet", "efficientnet", "mobilenet"
    if not any(name in card.architecture for name in convolutional):
        options["img_size"] = card.input.size
    network = import_timm().create_model(
        card.architecture, num_classes=3, in_chans=3, **options
    )
    network.load_state_dict(load_file(card.weights_path))
    with torch.no_grad():
        logits: Image = network.eval()(torch.from_numpy(batch)).numpy()
    return logits


@pytest.mark.parametrize("kind", ["vit", "own class"])
def test_weights_of_another_digest_are_never_loaded(tmp_path: Path, kind: str) -> None:
    card = _bundle(tmp_path / "m", kind, channels=1, classes=1)
    wrong = replace(card, weights_sha256="0" * 64)
    with pytest.raises(BundleError, match="has sha256"):
        create_model(wrong, ALLOWED).load("cpu")


@pytest.mark.parametrize("kind", ["vit", "own class"])
def test_a_card_of_a_model_is_written_and_read_back(tmp_path: Path, kind: str) -> None:
    card = _bundle(tmp_path / "m", kind, channels=1, classes=1)
    text = write_card(card)
    assert ("python_class =" in text) is (kind == "own class")
    assert ("architecture =" in text) is (kind == "vit")
