"""State dicts as people have them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_node.core.errors import BundleError
from inference.api import InputSpec, ModelCard
from inference.vit.fit import fit_weights, try_fit
from inference.vit.network import create_network
from inference.vit.timm_import import import_timm
from inference.vit.weights import State
from tests.unit.inference.cards import make_bundle, make_card

SMALL = {"arch_options": (("depth", 1), ("embed_dim", 48), ("num_heads", 2))}


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    return make_bundle(tmp_path / "m")


def _same(state: State, other: State) -> bool:
    return state.keys() == other.keys() and all(
        torch.equal(state[name], other[name]) for name in state
    )


@pytest.mark.parametrize(
    "prefix",
    ["", "model.", "module.", "state_dict.", "state_dict.model.", "_orig_mod.", "net."],
)
def test_a_prefix_of_a_framework_is_taken_off(card: ModelCard, prefix: str) -> None:
    weights = load_file(card.weights_path)
    saved = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    fitted = try_fit(create_network(card), saved)
    assert fitted.faults == ()
    assert _same(fitted.state, weights)
    assert bool(fitted.notes) is bool(prefix)


def test_what_was_saved_beside_the_model_is_left_out(card: ModelCard) -> None:
    weights = load_file(card.weights_path)
    saved = {f"model.{name}": tensor for name, tensor in weights.items()}
    saved["loss.pos_weight"] = torch.ones(1)
    fitted = try_fit(create_network(card), saved)
    assert fitted.faults == ()
    assert any("1 tensors without that prefix" in note for note in fitted.notes)


def test_of_two_sets_the_moving_average_is_taken(card: ModelCard) -> None:
    weights = load_file(card.weights_path)
    saved = {f"model.{name}": tensor + 1 for name, tensor in weights.items()}
    saved |= {f"model_ema.module.{name}": one for name, one in weights.items()}
    assert _same(fit_weights(create_network(card), saved), weights)


def test_a_head_beside_a_wrapped_backbone_is_found(card: ModelCard) -> None:
    weights = load_file(card.weights_path)
    saved = {
        name if name.startswith("head.") else f"backbone.{name}": tensor
        for name, tensor in weights.items()
    }
    assert _same(fit_weights(create_network(card), saved), weights)


def test_counters_of_training_may_be_missing(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m", architecture="test_resnet", arch_options=())
    weights = load_file(card.weights_path)
    saved = {
        name: tensor
        for name, tensor in weights.items()
        if not name.endswith("num_batches_tracked")
    }
    assert len(saved) < len(weights)
    assert fit_weights(create_network(card), saved).keys() == weights.keys()


def test_positions_are_resampled_to_the_input_size_as_timm_does(
    tmp_path: Path,
) -> None:
    large = make_card(
        tmp_path,
        architecture="vit_small_patch14_dinov2",
        input=InputSpec(size=(518, 518)),
        **SMALL,
    )
    saved = create_network(large).state_dict()
    saved["pos_embed"] = torch.randn(saved["pos_embed"].shape)
    small = make_card(
        tmp_path,
        architecture="vit_small_patch14_dinov2",
        input=InputSpec(size=(56, 70)),
        **SMALL,
    )
    fitted = try_fit(create_network(small), saved)
    assert fitted.faults == ()
    assert any("resampled" in note for note in fitted.notes)
    expected = import_timm().layers.resample_abs_pos_embed(
        saved["pos_embed"], new_size=[4, 5], num_prefix_tokens=1
    )
    torch.testing.assert_close(fitted.state["pos_embed"], expected)


def test_windows_of_swin_are_resampled_and_old_buffers_left_out(
    tmp_path: Path,
) -> None:
    options = (("embed_dim", 24), ("depths", (1, 1)), ("num_heads", (1, 2)))
    swin = "swin_tiny_patch4_window7_224"
    seven = make_card(
        tmp_path,
        architecture=swin,
        arch_options=options,
        input=InputSpec(size=(224, 224)),
    )
    saved = create_network(seven).state_dict()
    saved["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    four = make_card(
        tmp_path,
        architecture=swin,
        arch_options=(*options, ("window_size", 4)),
        input=InputSpec(size=(64, 64)),
    )
    fitted = try_fit(create_network(four), saved)
    assert fitted.faults == ()
    table = "layers.0.blocks.0.attn.relative_position_bias_table"
    assert fitted.state[table].shape == (49, 1)  # (2 x 4 - 1) squared


def test_weights_of_another_patch_size_are_not_resampled(tmp_path: Path) -> None:
    sixteen = make_card(tmp_path, **SMALL)
    saved = create_network(sixteen).state_dict()
    fourteen = make_card(
        tmp_path,
        architecture="vit_small_patch14_dinov2",
        input=InputSpec(size=(56, 56)),
        arch_options=(*SMALL["arch_options"], ("init_values", None)),
    )
    with pytest.raises(BundleError, match=r"patch_embed\.proj\.weight is 48x3x16x16"):
        fit_weights(create_network(fourteen), saved)


def test_weights_of_a_backbone_are_called_so(card: ModelCard) -> None:
    weights = load_file(card.weights_path)
    saved = {name: one for name, one in weights.items() if "head" not in name}
    with pytest.raises(BundleError, match=r"the head is missing: .* of a backbone"):
        fit_weights(create_network(card), saved)


def test_a_head_of_another_number_of_classes_is_named(card: ModelCard) -> None:
    saved = load_file(card.weights_path)
    saved["head.weight"], saved["head.bias"] = torch.zeros(5, 48), torch.zeros(5)
    with pytest.raises(BundleError, match="gives 5 scores and the card names 1 class"):
        fit_weights(create_network(card), saved)


def test_quantised_weights_are_refused(card: ModelCard) -> None:
    saved = load_file(card.weights_path)
    saved["head.weight"] = torch.zeros(1, 48, dtype=torch.int8)
    with pytest.raises(BundleError, match=r"not floating point \(head\.weight\)"):
        fit_weights(create_network(card), saved)


def test_weights_saved_from_timm_load_unchanged(tmp_path: Path) -> None:
    network = import_timm().create_model("test_vit", num_classes=1, img_size=64)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    card = make_card(tmp_path, architecture="test_vit", arch_options=())
    weights = load_file(tmp_path / "weights.safetensors")
    assert _same(fit_weights(create_network(card), weights), network.state_dict())
