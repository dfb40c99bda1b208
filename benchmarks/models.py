"""Model bundles of a measurement: the shipped one for CT, and noise in timm's."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

from inference.vit.timm_import import import_timm
from tests.peers import PROJECT

SHIPPED: Final = PROJECT / "inference" / "bundles" / "cxr-pneumonia"
_SCOPE: Final = '[scope]\nmodalities = ["CT"]\n\n'
_CARD: Final = """
[model]
name = "{name}"
version = "1.0"
manufacturer = "dicom-node benchmarks"
licence = "MIT"
intended_use = "Measurements; its answers mean nothing."
research_only = true

[network]
architecture = "{architecture}"
weights_sha256 = "{digest}"
batch_size = 16
options = {{ {options} }}

[input]
size = [224, 224]
channels = 3
resize = "stretch"
windowing = "file"

[output]
activation = "sigmoid"

[[classes]]
name = "PNEUMONIA"
threshold = 0.5
[classes.concept]
value = "233604007"
scheme = "SCT"
meaning = "Pneumonia"

[aggregation]
frames = "max"
images = "max"
max_frames = 1

[scope]
exclude_for_processing = false
"""


def write_shipped_for_ct(folder: Path, name: str) -> Path:
    """Copy the shipped bundle, but with CT in its scope; return its folder."""
    target = folder / name
    target.mkdir(parents=True)
    card = (SHIPPED / "card.toml").read_text("utf-8")
    card = re.sub(r"(?m)^name = \"cxr-pneumonia\"", f'name = "{name}"', card)
    card = re.sub(r"(?ms)^\[scope\].*?(?=^\[)", _SCOPE, card)
    (target / "card.toml").write_text(card, "utf-8")
    shutil.copy(SHIPPED / "weights.safetensors", target)
    return target


def write_vit_base(folder: Path, name: str) -> Path:
    """Write ViT-B/16 with random weights; return its folder."""
    return _write(folder / name, "vit_base_patch16_224", {})


def write_next_to_nothing(folder: Path, name: str) -> Path:
    """Write a ViT of one block and four tokens: running it costs next to nothing."""
    options = {"patch_size": 112, "embed_dim": 4, "depth": 1, "num_heads": 1}
    return _write(folder / name, "vit_tiny_patch16_224", options)


def _write(target: Path, architecture: str, options: dict[str, int]) -> Path:
    torch.manual_seed(5)
    network = import_timm().create_model(
        architecture, num_classes=1, img_size=(224, 224), **options
    )
    target.mkdir(parents=True)
    weights = target / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, weights)
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    listed = ", ".join(f"{key} = {value}" for key, value in options.items())
    card = _CARD.format(
        name=target.name, architecture=architecture, digest=digest, options=listed
    )
    (target / "card.toml").write_text(card, "utf-8")
    return target
