"""A model bundle for tests: a real timm ViT, tiny, with seeded random weights."""

import hashlib
from pathlib import Path

NAME = "tiny"
_OPTIONS = {"embed_dim": 32, "depth": 1, "num_heads": 2}
_CARD = """
[model]
name = "{name}"
version = "1.0"
manufacturer = "dicom-node tests"
licence = "MIT"
intended_use = "Tests of the node; its answers mean nothing."
research_only = true

[network]
architecture = "vit_tiny_patch16_224"
weights_sha256 = "{digest}"
batch_size = 8
options = {{ embed_dim = 32, depth = 1, num_heads = 2 }}

[input]
size = [32, 32]
channels = 3
resize = "stretch"
windowing = "percentile"

[output]
activation = "sigmoid"

[[classes]]
name = "PNEUMONIA"
threshold = {threshold}
[classes.concept]
value = "233604007"
scheme = "SCT"
meaning = "Pneumonia"

[scope]
exclude_for_processing = false
{scope}
"""


def write_bundle(
    folder: Path, *, name: str = NAME, threshold: float = 0.01, scope: str = ""
) -> Path:
    """Write a bundle into `folder`/`name`; a low threshold makes it say Present.

    Args:
        scope: further lines of the card's [scope]; without them it takes everything.
    """
    # Importing torch takes seconds: only who makes a bundle pays for it.
    import torch
    from safetensors.torch import save_file

    from inference.vit.timm_import import import_timm

    torch.manual_seed(7)
    timm = import_timm()
    network = timm.create_model(
        "vit_tiny_patch16_224", num_classes=1, img_size=(32, 32), **_OPTIONS
    )
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    weights = target / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card = _CARD.format(name=name, digest=digest, threshold=threshold, scope=scope)
    (target / "card.toml").write_text(card)
    return target
