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
        IMPORT + "import huggingface_hub.constants as c, torchvision; "
        "print(timm.is_model('vit_tiny_patch16_224'), c.HF_HUB_OFFLINE)"
    )
    assert out.split() == ["True", "True"]


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
