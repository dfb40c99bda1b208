"""Classes by dotted path: only where allowed, and held to the contract."""

import sys
from pathlib import Path
from threading import current_thread

import numpy as np
import pytest
from safetensors.numpy import save_file

from dicom_node.core.errors import BundleError, InferenceError, ScoreError
from inference.api import ModelCard
from inference.custom import ClassModel, create_model
from inference.run.in_process import InProcessExecutor
from inference.verify import examine_bundle
from tests.unit.inference.cards import make_card, write_bundle
from tests.unit.inference.own_models import LoadedIn

MODULE = "tests.unit.inference.own_models"
ALLOWED = (f"{MODULE}.*",)


def _bundle(folder: Path, name: str = f"{MODULE}:MeanModel") -> ModelCard:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"scale": np.array([0.5])}, folder / "weights.safetensors")
    card = make_card(
        folder, name="m", architecture="", arch_options=(), python_class=name
    )
    return write_bundle(card)


def _noise(images: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(3).random((images, 3, 64, 64), dtype=np.float32)


@pytest.mark.parametrize(
    "allowed", [(), ("other.*",), (f"{MODULE}x.*",), ("tests.unit.inference.own",)]
)
def test_a_class_runs_only_where_the_configuration_names_it(
    tmp_path: Path, allowed: tuple[str, ...]
) -> None:
    card = _bundle(tmp_path / "m")
    with pytest.raises(BundleError, match=r"not among models\.python_classes"):
        create_model(card, allowed)


@pytest.mark.parametrize("allowed", [MODULE, f"{MODULE}:MeanModel", "tests.*"])
def test_a_glob_names_a_module_a_class_or_a_package(
    tmp_path: Path, allowed: str
) -> None:
    assert isinstance(create_model(_bundle(tmp_path / "m"), (allowed,)), ClassModel)


def test_code_is_never_taken_from_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = _bundle(tmp_path / "m", "sprung_trap:Model")
    trap = card.folder / "sprung_trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(card.folder))
    with pytest.raises(BundleError, match="inside a bundle"):
        create_model(card, ("*",))
    assert not (tmp_path / "sprung").exists()
    assert "sprung_trap" not in sys.modules


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{MODULE}:Missing", "cannot be imported"),
        ("no_such_package.module:Model", "cannot be imported"),
        (f"{MODULE}:not_a_class", "is no class"),
        (f"{MODULE}:NoModel", "lacks load, prepare, predict"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        create_model(_bundle(tmp_path / "m", name), ("*",))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LogitModel", "not a probability"),
        ("WrongShape", "one float for each"),
        ("Broken", r"failed \(KeyError\)"),
    ],
)
def test_a_class_that_breaks_the_contract_is_not_loaded(
    tmp_path: Path, name: str, said: str
) -> None:
    model = create_model(_bundle(tmp_path / "m", f"{MODULE}:{name}"), ALLOWED)
    with pytest.raises(BundleError, match=said) as error:
        model.load("cpu")
    assert "Doe" not in str(error.value)


def test_scores_that_are_no_numbers_fail_the_job(tmp_path: Path) -> None:
    model = create_model(_bundle(tmp_path / "m", f"{MODULE}:NaNModel"), ALLOWED)
    model.load("cpu")
    with pytest.raises(ScoreError, match="not a number"):
        model.predict(_noise(2))


def test_a_class_without_memory_gets_smaller_batches(tmp_path: Path) -> None:
    greedy = create_model(_bundle(tmp_path / "m", f"{MODULE}:Greedy"), ALLOWED)
    plain = create_model(_bundle(tmp_path / "n"), ALLOWED)
    for model in (greedy, plain):
        model.load("cpu")
    np.testing.assert_array_equal(greedy.predict(_noise(7)), plain.predict(_noise(7)))


def test_a_failure_while_running_tells_no_text_of_the_class(tmp_path: Path) -> None:
    model = create_model(_bundle(tmp_path / "m", f"{MODULE}:Broken"), ALLOWED)
    with pytest.raises(InferenceError, match="KeyError") as error:
        model.predict(_noise(1))
    assert "Doe" not in str(error.value)
    assert error.value.__cause__ is None


def test_verify_says_when_a_class_is_not_allowed(tmp_path: Path) -> None:
    card = _bundle(tmp_path / "m")
    (fault,) = examine_bundle(card.folder).faults
    assert "models.python_classes" in fault
    assert examine_bundle(card.folder, ALLOWED).faults == ()


def test_the_thread_that_loads_a_model_has_ended_when_it_runs(tmp_path: Path) -> None:
    card = _bundle(tmp_path / "m", f"{MODULE}:LoadedIn")
    executor = InProcessExecutor(tmp_path, python_classes=ALLOWED)
    executor.warm([card.name])
    executor.close()
    assert LoadedIn.thread is not current_thread()
    assert not LoadedIn.thread.is_alive()
