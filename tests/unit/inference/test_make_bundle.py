"""A bundle from an architecture, weights and a list of labels, by the command line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_node.cli import main
from dicom_node.core.errors import BundleError
from inference.api import Window
from inference.bundle import find_bundle
from inference.labels import private_concept, read_labels
from inference.make_bundle import conversion
from inference.vit.timm_import import import_timm
from inference.windows import parse_window


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a configuration, weights of three classes and their labels."""
    (tmp_path / "node.toml").write_text(f'[models]\nfolder = "{tmp_path}/models"\n')
    (tmp_path / "labels.txt").write_text("Normal\n\nPleural effusion\nOther\n")
    _save(tmp_path / "mine.safetensors", "test_vit", num_classes=3)
    return tmp_path


def _save(path: Path, architecture: str, **options: object) -> None:
    torch.manual_seed(0)
    network = import_timm().create_model(architecture, **options)
    save_file(network.state_dict(), path)


def _add(place: Path, architecture: str, *options: str) -> int:
    config, weights = str(place / "node.toml"), str(place / "mine.safetensors")
    made_of = ["--weights", weights, "--labels", str(place / "labels.txt")]
    return main(["models", "--config", config, "add", architecture, *made_of, *options])


def test_one_command_makes_a_bundle_that_a_route_can_name(place: Path) -> None:
    assert _add(place, "test_vit", "--modality", "cr", "DX", "--threshold", "0.4") == 0
    card = find_bundle("mine", place / "models")
    # Of timm's configuration of test_vit.
    assert card.input.size == (160, 160)
    assert card.input.mean == card.input.std == (0.5, 0.5, 0.5)
    assert [item.name for item in card.classes] == [
        "Normal",
        "Pleural effusion",
        "Other",
    ]
    assert {item.concept.scheme for item in card.classes} == {"99DCMNODE"}
    assert {item.threshold for item in card.classes} == {0.4}
    assert card.scope.modalities == ("CR", "DX")
    assert card.activation == "softmax"
    text = (card.folder / "card.toml").read_text()
    assert text.count("FILL IN:") >= 4
    config = ["models", "--config", str(place / "node.toml")]
    assert main([*config, "verify", "mine"]) == 0
    assert main([*config, "show", "mine"]) == 0


def test_options_say_what_timm_does_not_know(place: Path) -> None:
    options = ["--name", "ct-1", "--size", "96", "64", "--resize", "crop"]
    options += ["--windows", "ct-lung", "40/80", "ct-bone", "--modality", "CT"]
    options += ["--activation", "sigmoid", "--group-by", "view"]
    options += ["--mean", "0", "--std", "1", "1", "1"]
    assert _add(place, "test_vit", *options) == 0
    card = find_bundle("ct-1", place / "models")
    assert (card.input.size, card.input.resize) == ((96, 64), "crop")
    assert card.input.windowing == "model"
    assert card.input.windows[:2] == (
        Window(center=-600.0, width=1500.0),
        Window(center=40.0, width=80.0),
    )
    assert (card.input.mean, card.input.std) == ((0.0,) * 3, (1.0,) * 3)
    assert (card.activation, card.group_by) == ("sigmoid", "view")


def test_a_network_of_one_channel_is_seen_by_its_weights(place: Path) -> None:
    for architecture in ("test_resnet", "test_vit"):
        _save(place / "mine.safetensors", architecture, num_classes=3, in_chans=1)
        assert _add(place, architecture, "--name", architecture) == 0
        spec = find_bundle(architecture, place / "models").input
        assert (spec.channels, len(spec.mean), len(spec.std)) == (1, 1, 1)


def test_one_channel_is_seen_where_the_first_layer_is_linear(place: Path) -> None:
    architecture = "naflexvit_base_patch16_gap"
    small = {"depth": 1, "embed_dim": 48, "num_heads": 2}
    _save(place / "mine.safetensors", architecture, num_classes=3, in_chans=1, **small)
    options = [f"--option={name}={value}" for name, value in small.items()]
    assert _add(place, architecture, *options) == 0
    assert find_bundle("mine", place / "models").input.channels == 1


def test_a_regression_has_a_unit(place: Path) -> None:
    _save(place / "mine.safetensors", "test_vit", num_classes=1)
    (place / "labels.txt").write_text("Bone age\n")
    assert _add(place, "test_vit", "--activation", "identity") == 1  # no unit
    assert _add(place, "test_vit", "--activation", "identity", "--unit", "mo") == 0
    card = find_bundle("mine", place / "models")
    assert card.classes[0].unit is not None
    assert card.classes[0].unit.value == "mo"
    assert card.aggregate_images == "mean"


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_a_pickle_is_refused_with_lines_that_convert_it(
    place: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pickled = place / f"net{suffix}"
    network = import_timm().create_model("test_vit", num_classes=3)
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, pickled)
    arguments = ["models", "--config", str(place / "node.toml"), "add", "test_vit"]
    arguments += ["--labels", str(place / "labels.txt"), "--weights"]
    assert main([*arguments, str(pickled)]) == 1
    lines = capsys.readouterr().err.splitlines()[-2:]
    assert "\n".join(lines) == conversion(pickled.name)
    code = "\n".join(lines).replace('"weights.safe', f'"{place}/mine.safe')
    exec(code.replace(pickled.name, str(pickled)), {})  # noqa: S102 - our own lines
    assert load_file(place / "mine.safetensors").keys() == network.state_dict().keys()
    assert _add(place, "test_vit") == 0


@pytest.mark.parametrize(
    ("architecture", "labels", "said"),
    [
        ("test_vti", "a\nb\nc\n", "did you mean 'test_vit'"),
        ("test_vit", "a\nb\n", "the head gives 3 scores and the card names 2 classes"),
        ("test_vit", "a\n\nb\na\n", "line 4: the same name as line 1"),
        ("test_vit", "a\nb\nA\n", "line 3: the same code as line 1"),
        ("test_vit", "\n", "holds no label"),
        ("test_convnext", "a\nb\nc\n", "does not fit the architecture"),
    ],
)
def test_what_cannot_be_a_bundle_leaves_nothing_behind(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    architecture: str,
    labels: str,
    said: str,
) -> None:
    (place / "labels.txt").write_text(labels)
    assert _add(place, architecture) == 1
    assert said in capsys.readouterr().err
    assert not list((place / "models").glob("*") if (place / "models").exists() else ())


def test_a_name_is_not_taken_twice(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _add(place, "test_vit", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "mine"
    assert _add(place, "test_vit") == 1
    assert "already is a model 'mine'" in capsys.readouterr().err


def test_labels_come_with_codes_from_a_table(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(
        "\ufeffname;code;scheme;meaning;threshold;site_code;site_scheme;site_meaning\n"
        "EFF;60046008;SCT;Pleural effusion;0.3;39607008;SCT;Lung\n"
        "OTHER;;;;;;;\n",
        encoding="utf-8",
    )
    first, second = read_labels(table)
    assert (first.concept.value, first.concept.meaning) == (
        "60046008",
        "Pleural effusion",
    )
    assert first.threshold == 0.3
    assert first.site is not None
    assert first.site.value == "39607008"
    assert second.concept == private_concept("OTHER")
    toml = tmp_path / "labels.toml"
    toml.write_text(
        '[[classes]]\nname = "EFF"\ncode = "60046008"\nscheme = "SCT"\n'
        'meaning = "Pleural effusion"\nthreshold = 0.3\nsite_code = "39607008"\n'
        'site_scheme = "SCT"\nsite_meaning = "Lung"\n[[classes]]\nname = "OTHER"\n'
    )
    assert read_labels(toml) == (first, second)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "label,code\na,b\n", "the first line names the columns"),
        ("l.csv", "name,threshold\na,high\nb,0.5\n", "line 2: threshold"),
        ("l.csv", "name,code,scheme\na,1,\n", "code and scheme go together"),
        ("l.toml", "[[classes]]\nnmae = 1\n", "class 1"),
        ("l.toml", "classes = 3", r"one \[\[classes\]\] table"),
    ],
)
def test_faults_of_a_table_of_labels_are_named(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BundleError, match=said):
        read_labels(tmp_path / name)


def test_private_codes_are_short_and_stable_and_tell_labels_apart() -> None:
    labels = ["Effusion", "effusion (left)", "Effusion, left!", "기흉", "x" * 80]
    codes = [private_concept(label) for label in labels]
    assert len({code.value for code in codes}) == len(labels)
    assert all(1 <= len(code.value) <= 16 for code in codes)  # SH, PS3.5 6.2
    assert all(1 <= len(code.meaning) <= 64 for code in codes)  # LO
    assert codes[0].value == "EFFUSION"
    assert private_concept("Effusion") == codes[0]


@pytest.mark.parametrize("text", ["lung", "40/0", "40", "/", "a/b", "ct-lung "])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="CENTER/WIDTH"):
        parse_window(text)


def test_one_channel_is_seen_in_the_first_layer_not_in_one_of_its_name(
    place: Path,
) -> None:
    _save(place / "mine.safetensors", "test_resnet", num_classes=3, in_chans=1)
    assert _add(place, "test_resnet") == 0
    assert find_bundle("mine", place / "models").input.channels == 1


@pytest.mark.parametrize("channels", [2, 4])
def test_a_first_layer_that_no_image_fits_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], channels: int
) -> None:
    _save(place / "mine.safetensors", "test_vit", num_classes=3, in_chans=channels)
    assert _add(place, "test_vit") == 1
    said = capsys.readouterr().err
    assert f"the first layer takes {channels} channels and the card gives 3" in said


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_is_half_downloaded_is_said_to_be_broken_off(
    place: Path, capsys: pytest.CaptureFixture[str], share: float
) -> None:
    weights = place / "mine.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    assert _add(place, "test_vit") == 1
    said = capsys.readouterr().err
    assert ("is broken off" if share else "is empty") in said
    if share > 0.1:  # the header is whole: it says how long the file is
        assert f"of at least {len(content)} bytes" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<!DOCTYPE html><html>Not found</html>", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        ("some text that is no weights at all", "cannot be parsed"),
    ],
)
def test_what_was_downloaded_instead_of_weights_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    (place / "mine.safetensors").write_text(content)
    assert _add(place, "test_vit") == 1
    assert said in capsys.readouterr().err
