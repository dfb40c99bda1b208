"""The network that is trained: a timm ViT with one logit, started from base weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dicom_node.core.errors import UsageError
from inference.api import ModelCard
from inference.vit.network import create_network
from inference.vit.timm_import import import_timm
from inference.vit.weights import check_fit, read_weights

Options = Mapping[str, str | int | float | bool]
Parameters = dict[str, torch.Tensor]


def build_network(architecture: str, *, size: int, options: Options) -> torch.nn.Module:
    """Build a timm model with one output and random weights.

    Raises:
        UsageError: timm does not know the architecture or an option.
    """
    timm = import_timm()
    try:
        network: torch.nn.Module = timm.create_model(
            architecture, pretrained=False, img_size=size, num_classes=1, **options
        )
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise UsageError(f"timm cannot build {architecture}: {error}") from error
    return network


def load_base_weights(network: torch.nn.Module, path: Path) -> None:
    """Start from pretrained weights, resampling the position embedding.

    Weights of blocks that the network does not have are left out; a weight of the
    network that the file lacks, other than the head's, is an error.

    Raises:
        UsageError: the file does not fit the network.
    """
    import_timm()
    from timm.layers.pos_embed import resample_abs_pos_embed

    try:
        weights = {name: item.float() for name, item in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise UsageError("the base weights are not a safetensors file") from error
    own = network.state_dict()
    if "pos_embed" in weights and "pos_embed" in own:
        prefix = int(getattr(network, "num_prefix_tokens", 0))
        side = round((own["pos_embed"].shape[1] - prefix) ** 0.5)
        weights["pos_embed"] = resample_abs_pos_embed(
            weights["pos_embed"], [side, side], num_prefix_tokens=prefix
        )
    fitting = {
        name: item
        for name, item in weights.items()
        if name in own and own[name].shape == item.shape
    }
    missing = sorted(name for name in own if name not in fitting)
    if any(not name.startswith("head.") for name in missing):
        raise UsageError(f"the base weights lack {missing[0]} of the architecture")
    network.load_state_dict(fitting, strict=False)


def load_network(card: ModelCard) -> torch.nn.Module:
    """Load a bundle's network as the node does, on the GPU when there is one.

    Raises:
        BundleError: the weights are not those of the card or the architecture.
    """
    network = create_network(card)
    weights = read_weights(card)
    check_fit(network.state_dict(), weights)
    network.load_state_dict(weights)
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def parameter_groups(
    network: torch.nn.Module,
    *,
    learning_rate: float,
    layer_decay: float,
    frozen_blocks: int,
) -> list[dict[str, object]]:
    """Give the later layers the full rate and earlier ones less.

    Patch and position embedding and the first blocks stay as they were pretrained.
    The head, which is new, takes three times the rate; vectors (norms, biases) get
    no weight decay.
    """
    embedding = {"patch_embed", "pos_embed", "cls_token", "reg_token"}
    for name, parameter in network.named_parameters():
        parts = name.split(".")
        if parts[0] in embedding or (
            parts[0] == "blocks" and int(parts[1]) < frozen_blocks
        ):
            parameter.requires_grad_(False)
    depth = _depth(network)
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        parts = name.split(".")
        rate = learning_rate
        if parts[0] == "head":
            rate = 3 * learning_rate
        elif parts[0] == "blocks":
            rate = learning_rate * layer_decay ** (depth - 1 - int(parts[1]))
        groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": members, "lr": rate, "weight_decay": 0.05 if decays else 0.0}
        for (rate, decays), members in groups.items()
    ]


def set_head(network: torch.nn.Module, weight: torch.Tensor, bias: float) -> None:
    """Put a linear probe in place of the head."""
    head = network.get_submodule("head")
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            parameter.copy_(
                weight.view_as(parameter)
                if name.endswith("weight")
                else torch.full_like(parameter, bias)
            )


def features_of(network: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Give what the head sees, (images, features)."""
    kept: list[torch.Tensor] = []
    head = network.get_submodule("head")
    hook = head.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        network(batch)
    finally:
        hook.remove()
    return kept[0]


def fit_probe(
    features: torch.Tensor, present: torch.Tensor, *, penalty: float
) -> tuple[torch.Tensor, float]:
    """Fit a ridge logistic regression with both classes weighted alike.

    Returns:
        weight and bias on the raw features.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    scaled = ((features - mean) / deviation).double()
    target = present.double()
    share = target.mean()
    cost = torch.where(target > 0, 0.5 / share, 0.5 / (1 - share))
    weight = torch.zeros(features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=60, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            scaled @ weight + bias, target, weight=cost
        )
        loss = loss + penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    raw = weight.detach().float() / deviation
    return raw, float(bias.detach()) - float(raw @ mean)


def half_precision(weights: Mapping[str, torch.Tensor]) -> Parameters:
    """Give the weights as they ship: contiguous fp16."""
    return {name: item.half().contiguous() for name, item in weights.items()}


def _depth(network: torch.nn.Module) -> int:
    numbers = [
        int(name.split(".")[1])
        for name, _ in network.named_parameters()
        if name.startswith("blocks.")
    ]
    return max(numbers, default=-1) + 1
