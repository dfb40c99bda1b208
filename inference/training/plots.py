"""The ROC curve and the reliability diagram as PNG files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.training import statistics

if TYPE_CHECKING:
    from inference.training.evaluate import Evaluation


def draw_roc(evaluation: "Evaluation", path: Path) -> None:
    """Draw the ROC curve with the operating point."""
    figures = dict(evaluation.figures)
    false, true = statistics.roc_curve(evaluation.probabilities, evaluation.truth)
    figure, axes = _axes("1 - specificity", "sensitivity")
    auc = figures["auc"]
    axes.plot(
        false, true, label=f"AUC {auc.estimate:.3f} ({auc.low:.3f} to {auc.high:.3f})"
    )
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.plot(
        1 - figures["specificity"].estimate,
        figures["sensitivity"].estimate,
        marker="o",
        linestyle="none",
        color="black",
        label=f"operating point {evaluation.operating_point:.3f}",
    )
    _save(figure, axes, path)


def draw_reliability(evaluation: "Evaluation", path: Path) -> None:
    """Draw the share of present cases against the probability that was said."""
    figure, axes = _axes("probability said", "share present")
    bins = evaluation.reliability
    ece = dict(evaluation.figures)["ece"]
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.plot(
        [item.mean_probability for item in bins],
        [item.share_present for item in bins],
        marker="o",
        label=f"expected calibration error {ece.estimate:.3f}",
    )
    for item in bins:
        axes.annotate(
            str(item.count),
            (item.mean_probability, item.share_present),
            textcoords="offset points",
            xytext=(4, -12),
            fontsize=7,
        )
    _save(figure, axes, path)


def _axes(horizontal: str, vertical: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlabel=horizontal, ylabel=vertical, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.legend(loc="lower right")
    figure.savefig(path)
