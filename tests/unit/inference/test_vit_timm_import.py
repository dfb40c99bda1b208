"""timm imports beside whatever torchvision there is."""

import subprocess
import sys

IMPORT = "from inference.vit.timm_import import import_timm; timm = import_timm(); "


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_timm_imports_in_a_fresh_process_and_stays_offline() -> None:
    out = _run(
        IMPORT + "import huggingface_hub.constants as c; "
        "print(timm.is_model('vit_tiny_patch16_224'), c.HF_HUB_OFFLINE)"
    )
    assert out.split() == ["True", "True"]


def test_what_no_network_needs_is_loaded_when_it_is_asked_for() -> None:
    out = _run(
        IMPORT + "import sys; "
        "left = {'torch._dynamo', 'torchvision.datasets', 'timm.data.loader'}; "
        "print(left & sys.modules.keys()); "
        "import torchvision; print(torchvision.models.resnet18.__name__); "
        "print(timm.data.resolve_model_data_config.__name__); "
        "from timm.data import create_transform; print(create_transform.__name__); "
        "part = timm.models.naflexvit.NaFlexRopeIterator; rope = part.__new__(part); "
        "rope.depth = rope._depth_idx = 0; "  # at its end
        "print(next(rope, 'computed'), 'torch._dynamo' in sys.modules)"
    )
    assert out.splitlines() == [
        "set()",
        "resnet18",
        "resolve_model_data_config",
        "create_transform",
        "computed True",
    ]


def test_timm_knows_the_same_models_as_beside_the_whole_of_torchvision() -> None:
    whole = "import inference.vit.timm_import as module; module._declare_operators(); "
    names = "print(*timm.list_models())"
    known = _run(IMPORT + names)
    assert known == _run(whole + "import torchvision, timm; " + names)
    assert "vit_tiny_patch16_224" in known


def test_operators_that_torchvision_registered_itself_are_left_alone() -> None:
    """A torchvision that fits its torch is stood in for by its operator."""
    out = _run(
        "import sys, types, torch; "
        "library = torch.library.Library('torchvision', 'DEF'); "
        "library.define('nms(Tensor dets, Tensor scores, float iou_threshold)"
        " -> Tensor'); "
        "library.define('qnms(Tensor dets, Tensor scores, float iou_threshold)"
        " -> Tensor'); "
        "import inference.vit.timm_import as module; module.import_timm(); "
        "print(len(module._kept_libraries))"
    )
    assert out.strip() == "0"
