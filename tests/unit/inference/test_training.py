"""Training end to end on a small made-up data set with a small ViT."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from dicom_node.core.errors import BundleError, PixelError, UsageError
from inference.card import load_card
from inference.training.augment import augment
from inference.training.bundle import input_spec
from inference.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inference.training.evaluate import evaluate
from inference.training.loop import fine_tune
from inference.training.network import build_network, fit_probe, parameter_groups
from inference.training.options import Progress, TrainOptions
from inference.training.samples import find_samples, read_plane, split
from inference.training.statistics import roc_curve
from inference.training.train import train
from inference.vit.model import TimmModel

SIZE = 32
OPTIONS = (("depth", 2), ("embed_dim", 24), ("num_heads", 2), ("patch_size", 16))


def write_images(folder: Path, *, per_class: int) -> Path:
    """Draw bright squares (present) and dark ones (absent) with noise."""
    generator = np.random.default_rng(0)
    rows = []
    for name, level in (("NORMAL", 60), ("PNEUMONIA", 180)):
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            noise = generator.normal(level, 20, (40, 48))
            pixels = np.clip(noise, 0, 255).astype(np.uint8)
            path = folder / name / f"{name.lower()}-{index}.png"
            PillowImage.fromarray(pixels).save(path)
            rows.append(
                {
                    "file": f"{name}/{path.name}",
                    "suggested_split": "val" if index % 3 == 0 else "train",
                    "patient_token": f"{name}{index // 2}",
                    "duplicate_of": "",
                }
            )
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"), per_class=12)


def options_for(data: Path, output: Path) -> TrainOptions:
    return TrainOptions(
        data=data,
        output=output,
        epochs=2,
        size=SIZE,
        batch_size=4,
        learning_rate=2e-3,
        checkpoint_steps=3,
        frozen_blocks=0,
        blend=1.0,
        resamples=50,
        architecture="vit_tiny_patch16_224",
        arch_options=OPTIONS,
        name="tiny",
    )


def ignore(_: Progress) -> None:
    """Take progress and do nothing."""


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle")
    train(options_for(data, output), ignore)
    return output


def test_training_ends_with_a_bundle_that_the_node_loads(bundle: Path) -> None:
    card = load_card(bundle)
    model = TimmModel(card)
    model.load("cpu")
    plane = np.full((1, 50, 70), 0.5, dtype=np.float32)
    score = model.predict(model.prepare(plane)[np.newaxis])
    assert score.shape == (1, 1)
    assert 0 <= score[0, 0] <= 1
    assert sorted(path.name for path in bundle.iterdir()) == [
        "card.toml",
        "weights.safetensors",
    ]


def test_the_card_says_scope_threshold_and_measured_figures(bundle: Path) -> None:
    card = load_card(bundle)
    assert card.research_only
    assert card.scope.modalities == ("CR", "DX")
    assert (card.scope.min_age_years, card.scope.max_age_years) == (1.0, 5.0)
    assert card.classes[0].concept.value == "233604007"
    assert card.classes[0].threshold is not None
    assert [name for name, _ in card.performance] == [
        "auc",
        "sensitivity",
        "specificity",
    ]


def test_evaluation_agrees_with_the_node_image_by_image(
    bundle: Path, data: Path, tmp_path: Path
) -> None:
    evaluation = evaluate(
        bundle, data, seed=0, resamples=20, output=tmp_path, report=ignore
    )
    model = TimmModel(load_card(bundle))
    model.load("cpu")
    for index, sample in enumerate(find_samples(data)):
        batch = model.prepare(read_plane(sample.path))[np.newaxis]
        assert evaluation.probabilities[index] == pytest.approx(
            float(model.predict(batch)[0, 0]), abs=1e-5
        )
    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert document["n"] == 24
    assert document["classes"] == {"NORMAL": 12, "PNEUMONIA": 12}
    assert document["auc"]["low"] <= document["auc"]["estimate"]
    assert document["operating_point"] == load_card(bundle).classes[0].threshold
    for name in ("roc.png", "reliability.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    false, true = roc_curve(evaluation.probabilities, evaluation.truth)
    assert np.trapezoid(true, false) == pytest.approx(document["auc"]["estimate"])


def test_the_network_learns_what_tells_the_classes_apart(
    bundle: Path, data: Path
) -> None:
    evaluation = evaluate(bundle, data, seed=0, resamples=0, output=None, report=ignore)
    assert dict(evaluation.figures)["auc"].estimate > 0.8


def test_a_file_that_cannot_be_read_is_reported(bundle: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", per_class=3)
    (data / "NORMAL" / "broken.png").write_bytes(b"no image")
    evaluation = evaluate(bundle, data, seed=0, resamples=5, output=None, report=ignore)
    assert evaluation.to_json()["n"] == 6
    assert [item["file"] for item in evaluation.to_json()["unreadable"]] == [
        "NORMAL/broken.png"
    ]


def test_weights_with_another_digest_are_refused(
    bundle: Path, data: Path, tmp_path: Path
) -> None:
    for path in bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = bytearray((tmp_path / "weights.safetensors").read_bytes())
    changed[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(changed)
    with pytest.raises(BundleError, match="sha256"):
        evaluate(tmp_path, data, seed=0, resamples=0, output=None, report=ignore)


class Interrupted(Exception):
    """Stands for a kill in the middle of a run."""


def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(
    data: Path, tmp_path: Path
) -> None:
    def tune(options: TrainOptions, stop_at: int) -> dict[str, torch.Tensor]:
        def report(progress: Progress) -> None:
            if progress.stage == "train" and progress.done == stop_at:
                raise Interrupted

        torch.manual_seed(options.seed)
        network = build_network(options.architecture, size=SIZE, options=dict(OPTIONS))
        training, _ = split(find_samples(data))
        weights, _ = fine_tune(
            network, training, input_spec(options.size), options, report
        )
        return weights

    whole = tune(options_for(data, tmp_path / "whole"), stop_at=0)
    resumed = replace(options_for(data, tmp_path / "parts"), resume=True)
    with pytest.raises(Interrupted):
        tune(resumed, stop_at=5)  # the last checkpoint is of step 3
    again = tune(resumed, stop_at=0)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    save_checkpoint(
        tmp_path,
        Checkpoint(step=1, tensors={"a": torch.zeros(1)}, settings={"seed": 1}),
    )
    with pytest.raises(UsageError, match="another seed"):
        load_checkpoint(tmp_path, {"seed": 2})


def test_only_the_newest_checkpoint_stays(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(
            tmp_path,
            Checkpoint(step=step, tensors={"a": torch.full((1,), step)}, settings={}),
        )
    loaded = load_checkpoint(tmp_path, {})
    assert loaded is not None
    assert (loaded.step, int(loaded.tensors["a"])) == (2, 2)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_patients_are_never_in_both_parts(tmp_path: Path) -> None:
    for name, stem in (("NORMAL", "IM-{:04}-0001"), ("PNEUMONIA", "person{}_virus_1")):
        (tmp_path / name).mkdir()
        for index in range(60):
            for copy in range(2):
                path = tmp_path / name / f"{stem.format(index)}-{copy}.png"
                PillowImage.new("L", (4, 4)).save(path)
    training, validation = split(find_samples(tmp_path))
    assert len(training) + len(validation) == 240
    assert not {s.patient for s in training} & {s.patient for s in validation}


def test_a_folder_without_both_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "NORMAL").mkdir()
    with pytest.raises(UsageError, match="sub-folder"):
        find_samples(tmp_path)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 51, 0.2),
        ("RGB", (51, 51, 51), 0.2),
        ("RGBA", (51, 51, 51, 255), 0.2),
        ("I;16", 13107, 0.2),
    ],
)
def test_grey_values_are_read_alike_in_every_mode(
    tmp_path: Path, mode: str, value: int, expected: float
) -> None:
    path = tmp_path / "image.png"
    PillowImage.new(mode, (5, 3), value).save(path)
    plane = read_plane(path)
    assert plane.shape == (1, 3, 5)
    assert plane.dtype == np.float32
    assert plane[0, 0, 0] == pytest.approx(expected, abs=1e-6)


def test_a_broken_image_is_a_pixel_error(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(PixelError):
        read_plane(path)


def test_augmented_images_follow_from_the_generator() -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, 40, 40)).astype(np.uint8)
    first, second = (augment(planes, SIZE, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (3, 1, SIZE, SIZE)
    assert torch.equal(first, second)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_probe_separates_two_clouds() -> None:
    generator = torch.Generator().manual_seed(0)
    present = torch.arange(200) % 2 == 1
    features = torch.randn(200, 5, generator=generator) + 3 * present[:, None]
    weight, bias = fit_probe(features, present, penalty=1e-2)
    said = features @ weight + bias > 0
    assert float((said == present).float().mean()) > 0.97


def test_earlier_blocks_learn_slower_and_frozen_ones_not_at_all() -> None:
    network = build_network("vit_tiny_patch16_224", size=SIZE, options=dict(OPTIONS))
    groups = parameter_groups(
        network, learning_rate=1.0, layer_decay=0.5, frozen_blocks=1
    )
    assert {group["lr"] for group in groups} == {1.0, 3.0}  # last block, norm; head
    fixed = {
        name.split(".")[0] + "." + name.split(".")[1]
        for name, item in network.named_parameters()
        if not item.requires_grad and "." in name
    }
    assert fixed == {"patch_embed.proj", "blocks.0"}
