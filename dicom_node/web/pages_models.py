"""The models with their cards and what was measured of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response

from dicom_node.web.desk import Desk
from dicom_node.web.surroundings import words_for
from dicom_node.web.templates import render
from dicom_node.web.words import Catalogue

if TYPE_CHECKING:
    from inference.api import ClassSpec, InputSpec, ModelCard, Scope

_CLASSES_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A bundle.

    Args:
        fault: why it cannot be used; "" if it can, and then there is a card.
        facts: name and text, in the order to be read.
        classes: finding, code, operating point.
        figures: name, estimate, interval.
        routes: that send studies to it.
    """

    name: str
    version: str
    fault: str
    shipped: bool
    research_only: bool
    facts: tuple[tuple[str, str], ...]
    classes: tuple[tuple[str, str, str], ...]
    hidden: int
    figures: tuple[tuple[str, str, str], ...]
    measured_on: str
    routes: tuple[str, ...]


def models(request: Request) -> Response:
    """Show every model."""
    desk: Desk = request.app.state.desk
    t = words_for(request)
    views = []
    for bundle in desk.list_models():
        routes = tuple(
            route.name for route in desk.settings.routes if route.model == bundle.name
        )
        card = bundle.card
        views.append(
            ModelView(
                name=bundle.name,
                version=card.version if card else "",
                fault=bundle.fault,
                shipped=bundle.shipped,
                research_only=card.research_only if card else False,
                facts=tuple(_facts(t, card)) if card else (),
                classes=tuple(_class(t, item) for item in card.classes[:_CLASSES_MAX])
                if card
                else (),
                hidden=max(len(card.classes) - _CLASSES_MAX, 0) if card else 0,
                figures=tuple(
                    (
                        t.say(name),
                        f"{item.estimate:.3g}",
                        f"{item.low:.3g} – {item.high:.3g}",
                    )
                    for name, item in card.performance
                )
                if card
                else (),
                measured_on=card.performance_data if card else "",
                routes=routes,
            )
        )
    return render(request, "models.html", {"models": views})


def _facts(t: Catalogue, card: "ModelCard") -> Iterator[tuple[str, str]]:
    for key, text in (
        ("description", card.description),
        ("intended_use", card.intended_use),
        ("scope", "; ".join(_scope(t, card.scope)) or t("models.any_image")),
        ("windowing", _windowing(t, card.input)),
        ("training", card.training_data),
        ("manufacturer", card.manufacturer),
        ("licence", card.licence),
        ("network", card.architecture or card.python_class),
        ("weights", card.weights_sha256),
        ("device_uid", str(card.device_uid)),
    ):
        if text:
            yield t(f"models.{key}"), text


def _scope(t: Catalogue, scope: "Scope") -> Iterator[str]:
    for key, values in (
        ("modality", scope.modalities),
        ("body_part", scope.body_parts),
        ("view", scope.view_positions),
        ("sop_class", scope.sop_class_uids),
    ):
        if values:
            yield f"{t(f'models.{key}')} {', '.join(values)}"
    if scope.min_age_years is not None:
        yield t("models.from_years", n=f"{scope.min_age_years:g}")
    if scope.max_age_years is not None:
        yield t("models.to_years", n=f"{scope.max_age_years:g}")


def _windowing(t: Catalogue, spec: "InputSpec") -> str:
    if spec.windowing == "percentile":
        low, high = spec.percentiles
        return t("models.windowing_percentile", low=f"{low:g}", high=f"{high:g}")
    if spec.windowing == "model":
        named = ", ".join(f"{item.center:g}/{item.width:g}" for item in spec.windows)
        return f"{t('models.windowing_model')}: {named}"
    return t("models.windowing_file")


def _class(t: Catalogue, item: "ClassSpec") -> tuple[str, str, str]:
    concept = item.concept
    point = t("models.no_threshold")
    if item.threshold is not None:
        unit = item.unit.value if item.unit else ""
        point = f"{item.threshold:.3g} {unit}".strip()
    name = t.name("finding", concept.meaning)
    return name, f"{concept.value} {concept.scheme}", point
