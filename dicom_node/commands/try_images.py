"""`models verify --images`: a bundle on images of one's own, as a worker runs it.

Exit codes: 0 every image that the model takes has scores; 1 one has none, or the
model takes no image; 2 there is no image to try.
"""

import re
import resource
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from config.settings import Settings
from dicom_node import app
from dicom_node.commands.own_files import read_own_files
from dicom_node.commands.screen import console
from dicom_node.commands.select import describe, image_lines
from dicom_node.commands.select_screen import print_selection
from dicom_node.core.errors import InferenceError, PixelError
from dicom_node.core.types import InputFile, Prediction
from dicom_node.receive.options import ReceiveOptions
from inference.bundle import find_bundle
from inference.select.choose import Selection, select

if TYPE_CHECKING:
    from inference.input_report import InputReport
    from inference.run.in_process import InProcessExecutor

_MIB = 1 << 20
_WIDTH = 9


@dataclass(kw_only=True)
class Trial:
    """What became of images that a bundle was tried on.

    Args:
        refused: why the node would not have taken a file, by path.
        faults: why the bundle is of no use for these images; [] if it is.
        inputs: what the model got, by path.
        predict_seconds: decoding, preparing and scoring, all images together.
        peak_bytes: of memory of this process while it did so, the model included.
    """

    selection: Selection
    refused: dict[str, str]
    prediction: Prediction | None = None
    faults: list[str] = field(default_factory=list)
    inputs: dict[str, "InputReport"] = field(default_factory=dict)
    load_seconds: float = 0.0
    predict_seconds: float = 0.0
    peak_bytes: int = 0


def try_images(folder: Path, paths: Sequence[Path], settings: Settings) -> Trial:
    """Run a bundle without faults on files; nothing is stored or sent.

    Raises:
        UsageError: there is no such file, or none that the node would take.
        BundleError: the bundle must not be used.
    """
    scan = ReceiveOptions.from_settings(settings).scan
    files, refused = read_own_files(paths, scan)
    here = folder.resolve()
    models = settings.models.model_copy(update={"folder": here.parent})
    settings = settings.model_copy(update={"models": models})
    selection = select(files, find_bundle(here.name, here.parent))
    trial = Trial(selection=selection, refused=refused)
    _forget_peak()
    with closing(app.build_executor(settings, is_guarded=False)) as executor:
        _predict(trial, executor, here.name, files)
    trial.peak_bytes = _peak_bytes()
    _report_inputs(trial, settings)
    trial.faults += _faults(trial)
    return trial


def _predict(
    trial: Trial, executor: "InProcessExecutor", name: str, files: Sequence[InputFile]
) -> None:
    began = perf_counter()
    executor.warm([name])
    loaded = perf_counter()
    trial.load_seconds = loaded - began
    try:
        trial.prediction = executor.predict(name, files)
    except InferenceError as error:
        trial.faults.append(str(error))
    trial.predict_seconds = perf_counter() - loaded


def _report_inputs(trial: Trial, settings: Settings) -> None:
    """Describe what the model got; an image that fails here failed there too."""
    from inference.custom import create_model
    from inference.input_report import report_input

    options = app.run_options(settings)
    card = trial.selection.card
    model = create_model(card, settings.models.python_classes, options.wish)
    if card.python_class:
        model.load(options.device)
    for choice in trial.selection.choices:
        if choice.skipped:
            continue
        path = choice.file.path
        with suppress(PixelError):
            trial.inputs[str(path)] = report_input(
                path, choice.frames, model, options.limits
            )


def _faults(trial: Trial) -> list[str]:
    if trial.prediction is None:
        return []
    taken = [image for image in trial.prediction.images if not image.skipped]
    if not taken:
        return ["the model takes none of these images"]
    failed = sum(1 for image in taken if image.error)
    return [f"{failed} of {len(taken)} images failed"] if failed else []


def trial_document(trial: Trial) -> dict[str, Any]:
    """Make the JSON document of a trial."""
    document = describe(trial.selection, trial.prediction)
    for image in document["images"]:
        report = trial.inputs.get(image["path"])
        image["input"] = asdict(report) if report else None
    return document | {
        "refused": trial.refused,
        "faults": trial.faults,
        "load_seconds": round(trial.load_seconds, 3),
        "predict_seconds": round(trial.predict_seconds, 3),
        "peak_memory_bytes": trial.peak_bytes,
    }


def print_trial(trial: Trial) -> None:
    """Print a trial for people."""
    screen = console()
    for path, reason in trial.refused.items():
        screen.print(f"refused  {path}: {reason}")
    lines = image_lines(describe(trial.selection, trial.prediction))
    print_selection(trial.selection, trial.prediction, lines)
    scores = _scores(trial)
    for path, report in trial.inputs.items():
        _print_input(path, report, scores.get(path, ""))
    images = len(trial.inputs)
    each = (
        f", {trial.predict_seconds / images * 1000:.1f} ms an image" if images else ""
    )
    screen.print(
        f"loaded in {trial.load_seconds:.2f} s; {images} images in "
        f"{trial.predict_seconds:.2f} s{each}; "
        f"peak memory {trial.peak_bytes / _MIB:.0f} MiB"
    )
    for fault in trial.faults:
        screen.print(f"  - {fault}")


def _print_input(path: str, report: "InputReport", scores: str) -> None:
    screen = console()
    shape = "x".join(str(side) for side in report.shape)
    ends = ""
    if report.black is not None and report.white is not None:
        ends = f", {report.black:.0%} black, {report.white:.0%} white"
    screen.print(f"input    {path}: {report.windowing}")
    screen.print(
        f"{'':{_WIDTH}}{shape} from {report.low:.3f} to {report.high:.3f}, "
        f"mean {report.mean:.3f}{ends}; {report.seconds * 1000:.1f} ms"
    )
    if scores:
        screen.print(f"{'':{_WIDTH}}{scores}")
    for doubt in report.doubts:
        screen.print(f"{'':{_WIDTH}}doubt: {doubt}")


def _scores(trial: Trial) -> dict[str, str]:
    """Say the scores of each image, by the names of the classes."""
    if trial.prediction is None:
        return {}
    names = [item.name for item in trial.selection.card.classes]
    choices = trial.selection.choices
    said = {}
    for choice, image in zip(choices, trial.prediction.images, strict=True):
        # An image without scores has none to pair with a name.
        pairs = zip(names, image.scores, strict=False)
        said[str(choice.file.path)] = ", ".join(
            f"{name} {score:.4g}" for name, score in pairs
        )
    return said


def _forget_peak() -> None:
    """Let the kernel count the peak of memory anew; without it all of it counts."""
    with suppress(OSError):  # Linux only, and not in every container
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
