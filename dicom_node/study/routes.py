"""Which models look at a study, and what every rule said about it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pydicom.uid import UID

from config.settings import CalledTable, RouteTable, WhenTable
from dicom_node.core.states import NO_IMAGE, ONLY_OWN_RESULTS, Priority
from dicom_node.core.types import (
    InputFile,
    Instance,
    Route,
    RoutingDecision,
    Study,
    Verdict,
)
from inference.api import Scope
from inference.scope import outside_scope

NO_ROUTES = "no route is configured"
NO_ROUTE_MATCHED = "no route matched"

# What is outside this scope is outside every model's: localisers, screen saves,
# phantoms, objects without pixels or computed from images.
_WIDEST_SCOPE = Scope(
    exclude_for_processing=False, include_secondary=True, include_animals=True
)

_Values = Callable[[Instance], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _TextRule:
    """A list condition over one attribute: one wanted value must be there."""

    name: str
    attribute: str
    values: _Values
    globs: bool = False

    def holds(self, instance: Instance, wanted: Sequence[str]) -> bool:
        """Tell whether one of the instance's values is wanted."""
        there = [value.casefold() for value in self.values(instance) if value]
        patterns = [item.strip().casefold() for item in wanted]
        if self.globs:
            return any(fnmatchcase(v, p) for v in there for p in patterns)
        return any(value in patterns for value in there)


def _sop_class_names(instance: Instance) -> tuple[str, ...]:
    return (instance.sop_class_uid, UID(instance.sop_class_uid).keyword)


_TEXT_RULES = (
    _TextRule("modality", "Modality", lambda i: (i.header.modality,)),
    _TextRule("sop_class", "SOPClassUID", _sop_class_names, globs=True),
    _TextRule(
        "body_part", "BodyPartExamined", lambda i: (i.header.body_part_examined,)
    ),
    _TextRule("view", "ViewPosition", lambda i: (i.header.view_position,)),
    _TextRule(
        "calling_ae_title", "CallingAETitle", lambda i: (i.calling_ae_title.strip(),)
    ),
    _TextRule(
        "called_ae_title", "CalledAETitle", lambda i: (i.called_ae_title.strip(),)
    ),
    _TextRule(
        "description",
        "StudyDescription, SeriesDescription",
        lambda i: (i.header.study_description, i.header.series_description),
        globs=True,
    ),
)
# Free text may hold anything, so a miss on it never repeats what was there.
_FREE_TEXT = frozenset({"description"})


class RuleRouter:
    """Routes by the TOML tables: all conditions of a table must hold for one image.

    Localisers, screen saves and this node's own results never count as images.

    Args:
        called: the node's further AE titles. Results of a study go where the one that
            it was last sent to says, if that says anything.
    """

    def __init__(
        self, routes: Iterable[RouteTable], *, called: Iterable[CalledTable] = ()
    ) -> None:
        self._routes = tuple(routes)
        self._receivers = {
            table.ae_title.strip(): table.destinations
            for table in called
            if table.destinations is not None
        }

    def route(self, study: Study) -> RoutingDecision:
        """Return the routes that take the study and every rule's verdict."""
        if not study.evidence:
            return RoutingDecision(
                routes=(), verdicts=(), ignored_because=ONLY_OWN_RESULTS
            )
        taken: list[Route] = []
        verdicts: list[Verdict] = []
        for table in self._routes:
            of_table = _judge(table, study.evidence)
            verdicts += of_table
            if not all(verdict.matched for verdict in of_table):
                continue
            destinations = self._receivers.get(study.called_ae_title.strip())
            if destinations is None:
                destinations = table.destinations
            else:
                verdicts.append(_redirected(table, destinations))
            taken.append(
                Route(
                    name=table.name,
                    model=table.model,
                    destinations=destinations,
                    priority=Priority[table.priority.upper()],
                )
            )
        return RoutingDecision(
            routes=tuple(taken),
            verdicts=tuple(verdicts),
            ignored_because=None if taken else _why_ignored(verdicts),
        )


def _judge(table: RouteTable, evidence: Sequence[Instance]) -> list[Verdict]:
    """Return one verdict for each condition of a route."""
    when = table.when
    if when == WhenTable():
        return [_verdict(table, "any study", "", missed="")]
    images = [item for item in evidence if not _why_no_image(item)]
    if not images:
        kinds = dict.fromkeys(map(_why_no_image, evidence))
        missed = f"{NO_IMAGE}: {'; '.join(sorted(kinds))}"
        return [_verdict(table, "images", "PixelData", missed=missed)]
    verdicts: list[Verdict] = []
    matching = list(images)
    for rule in _TEXT_RULES:
        wanted: tuple[str, ...] = getattr(when, rule.name)
        if not wanted:
            continue
        held = [item for item in images if rule.holds(item, wanted)]
        missed = "" if held else _text_miss(rule, wanted, images)
        verdicts.append(_verdict(table, rule.name, rule.attribute, missed=missed))
        matching = [item for item in matching if item in held]
    if when.min_age_years is not None or when.max_age_years is not None:
        held = [item for item in images if _age_holds(when, item)]
        missed = "" if held else _age_miss(when, images)
        verdicts.append(_verdict(table, "age", "PatientAge", missed=missed))
        matching = [item for item in matching if item in held]
    if all(verdict.matched for verdict in verdicts):
        verdicts += _count_verdicts(table, len(matching), len(images))
    return verdicts


def _why_no_image(instance: Instance) -> str:
    """Say why no model at all might look at the instance; "" if one might."""
    file = InputFile(
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        path=Path(instance.file_key),
        header=instance.header,
    )
    return outside_scope(file, _WIDEST_SCOPE)


def _verdict(table: RouteTable, rule: str, attribute: str, *, missed: str) -> Verdict:
    return Verdict(
        route=table.name,
        rule=rule,
        attribute=attribute,
        matched=not missed,
        detail=missed,
    )


def _redirected(table: RouteTable, destinations: Sequence[str]) -> Verdict:
    there = ", ".join(destinations) or "nobody"
    instead = ", ".join(table.destinations) or "nobody"
    return Verdict(
        route=table.name,
        rule="destinations",
        attribute="CalledAETitle",
        matched=True,
        detail=f"{there} instead of {instead}, as its [[called]] table says",
    )


def _text_miss(rule: _TextRule, wanted: Sequence[str], images: list[Instance]) -> str:
    there = sorted({value for item in images for value in rule.values(item) if value})
    asked = " or ".join(wanted)
    if not there:
        return f"{rule.attribute} is missing; the route asks for {asked}"
    if rule.name in _FREE_TEXT:
        return f"{rule.attribute} matches none of {asked}"
    return f"{rule.attribute} is {', '.join(there)}; the route asks for {asked}"


def _age_holds(when: WhenTable, instance: Instance) -> bool:
    age = instance.header.patient_age_years
    if age is None:
        return False
    if when.min_age_years is not None and age < when.min_age_years:
        return False
    # A child of 5.9 years is "5 years old": a whole limit counts completed years.
    limit = when.max_age_years
    if limit is None:
        return True
    return int(age) <= limit if float(limit).is_integer() else age <= limit


def _age_miss(when: WhenTable, images: list[Instance]) -> str:
    low, high = when.min_age_years, when.max_age_years
    asked = (
        f"{low:g} to {high:g} years"
        if low is not None and high is not None
        else (f"at least {low:g} years" if low is not None else f"up to {high:g} years")
    )
    ages = sorted(
        {
            f"{age:.3g}"
            for item in images
            if (age := item.header.patient_age_years) is not None
        }
    )
    if not ages:
        return f"PatientAge is missing or unreadable; the route asks for {asked}"
    return f"PatientAge is {', '.join(ages)} years; the route asks for {asked}"


def _count_verdicts(table: RouteTable, matching: int, images: int) -> list[Verdict]:
    """Judge what can only be said of the images that meet all other conditions."""
    when = table.when
    if not matching:
        missed = f"no single image of {images} meets all conditions together"
        return [_verdict(table, "together", "", missed=missed)]
    verdicts = []
    if when.min_images is not None:
        missed = (
            ""
            if matching >= when.min_images
            else f"{matching} images; the route asks for at least {when.min_images}"
        )
        verdicts.append(_verdict(table, "min_images", "images", missed=missed))
    if when.max_images is not None:
        missed = (
            ""
            if matching <= when.max_images
            else f"{matching} images; the route asks for at most {when.max_images}"
        )
        verdicts.append(_verdict(table, "max_images", "images", missed=missed))
    return verdicts


def _why_ignored(verdicts: Sequence[Verdict]) -> str:
    """Say in one sentence why no route took the study."""
    misses = [verdict for verdict in verdicts if not verdict.matched]
    if not misses:
        return NO_ROUTES
    asked: dict[str, list[str]] = {}
    for miss in misses:
        asked.setdefault(miss.detail, []).append(f"'{miss.route}'")
    parts = [
        f"{'routes' if len(names) > 1 else 'route'} {', '.join(names)}: {detail}"
        for detail, names in asked.items()
    ]
    return f"{NO_ROUTE_MATCHED}: {'; '.join(parts)}"
