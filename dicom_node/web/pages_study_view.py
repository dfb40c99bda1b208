"""A study's results as its page shows them: numbers against operating points."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.desk import StudyPage
from db.holding import holding
from db.story import DecisionStory, JobStory
from dicom_node.core.results import Finding, ImageResult
from dicom_node.core.states import Outcome, ReportKind, WorkState
from dicom_node.core.types import Prediction, Report, Verdict
from dicom_node.web.pages_words import WORK_KIND, show_probability, work_state
from dicom_node.web.words import Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One finding.

    Args:
        number: as it is read: "0.93", "5.2 mm".
        probability: None where there is a measured value instead.
        over: at or above the operating point.
        spoken: the bar in words.
    """

    name: str
    code: str
    where: str
    verdict: str
    number: str
    probability: float | None
    threshold: float | None
    over: bool
    spoken: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultView:
    """What one model says of one revision."""

    model: str
    version: str
    revision: int
    state: str
    state_kind: str
    outcome: str
    reason: str
    research_only: bool
    evaluated: str
    findings: tuple[FindingView, ...]
    left_out: tuple[tuple[str, int], ...]
    made_with: tuple[tuple[str, str], ...]
    structured: tuple[Report, ...]
    summaries: tuple[Report, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """What one route said of a revision."""

    name: str
    taken: bool
    verdicts: tuple[Verdict, ...]


def results(t: Catalogue, page: StudyPage) -> tuple[list[ResultView], list[ResultView]]:
    """Return the results that hold, the latest of each model, and those before."""
    latest = {job.summary["model"]: job for job in _holding(page)}
    now = [_result(t, job) for job in latest.values()]
    kept = {id(job) for job in latest.values()}
    before = [_result(t, job) for job in page.story.jobs if id(job) not in kept]
    return now, before[::-1]


def _holding(page: StudyPage) -> list[JobStory]:
    """Return the jobs whose model no later routing has left out."""
    told = page.story
    decided = [item.revision for item in told.decisions]
    kept = holding([job.summary for job in told.jobs], decided)
    known = {(job["model"], job["revision"]) for job in kept}
    return [
        job
        for job in told.jobs
        if (job.summary["model"], job.summary["revision"]) in known
    ]


def _result(t: Catalogue, job: JobStory) -> ResultView:
    prediction, state = job.prediction, WorkState(job.summary["state"])
    outcome = job.summary["outcome"] if prediction else None
    findings = prediction.findings if prediction else ()
    if findings and all(map(_is_measured, findings)):
        outcome = "measured"
    images = prediction.images if prediction else ()
    evaluated = prediction.evaluated if prediction else ()
    reason = (prediction.reason if prediction else "") or job.summary["reason"] or ""
    return ResultView(
        model=job.summary["model"],
        version=job.summary["model_version"] or "",
        revision=job.summary["revision"],
        state=work_state(t, state),
        state_kind=WORK_KIND[state],
        outcome=t.name("outcome", outcome) if outcome else "",
        reason=t.say(reason),
        research_only=bool(prediction and prediction.research_only),
        evaluated=t("study.evaluated", n=len(evaluated), total=len(images))
        if images
        else "",
        findings=tuple(_finding(t, item) for item in sorted(findings, key=_order)),
        left_out=_left_out(t, images),
        made_with=_made_with(t, prediction) if prediction else (),
        structured=_kind(job, ReportKind.SR),
        summaries=_kind(job, ReportKind.SC),
    )


def _order(finding: Finding) -> tuple[bool, float]:
    return not finding.present, -finding.probability


def _is_measured(finding: Finding) -> bool:
    """Say whether it is a value on which nothing was to be decided."""
    return finding.value is not None and finding.threshold is None


def _kind(job: JobStory, kind: ReportKind) -> tuple[Report, ...]:
    return tuple(report for report in job.reports if report.kind is kind)


def _finding(t: Catalogue, item: Finding) -> FindingView:
    name = t.name("finding", item.concept.meaning)
    where = [
        t.say(concept.meaning)
        for concept in (item.laterality, item.view, item.site)
        if concept
    ]
    measured = item.value is not None
    unit = item.unit.value if item.unit and item.unit.value != "1" else ""
    number = (
        f"{item.value:.4g} {unit}".strip()
        if measured
        else show_probability(item.probability)
    )
    over = bool(item.present)
    verdict = {True: "present", False: "absent", None: "undetermined"}[item.present]
    if _is_measured(item):
        verdict = "measured"
    if item.threshold is None:
        against = t("study.no_threshold")
    else:
        side = "at_or_above" if over else "below"
        against = f"{t(f'study.{side}')} {item.threshold:.3g}"
    return FindingView(
        name=name,
        code=f"{item.concept.value} {item.concept.scheme}",
        where=", ".join(where),
        verdict=t(f"outcome.{verdict}"),
        number=number,
        probability=None if measured else min(max(item.probability, 0.0), 1.0),
        threshold=item.threshold,
        over=over,
        spoken=f"{name}: {number}, {against}",
        note=t.say(item.note),
    )


def _left_out(
    t: Catalogue, images: Sequence[ImageResult]
) -> tuple[tuple[str, int], ...]:
    """Count the images that gave no score by their reason, the commonest first."""
    counted: dict[str, int] = {}
    for image in images:
        if not image.scores:
            reason = t.say(image.error or image.skipped)
            counted[reason] = counted.get(reason, 0) + 1
    return tuple(sorted(counted.items(), key=lambda item: -item[1]))


def _made_with(t: Catalogue, prediction: Prediction) -> tuple[tuple[str, str], ...]:
    found = [*prediction.parameters, ("weights sha256", prediction.weights_sha256)]
    if made := prediction.provenance:
        machine = made.machinery
        found += [
            ("card sha256", made.card_sha256),
            ("code", f"{made.code_version} {made.code_sha256}"),
            (
                "ran on",
                f"{machine.engine} {machine.precision} {machine.device}".strip(),
            ),
        ]
    return tuple((t.say(name), t.say(value)) for name, value in found if value)


def routes_view(decision: DecisionStory) -> list[RouteView]:
    """Return what every route said, with every condition's verdict."""
    names = dict.fromkeys(verdict.route for verdict in decision.verdicts)
    views = []
    for name in names:
        verdicts = tuple(item for item in decision.verdicts if item.route == name)
        taken = all(item.matched for item in verdicts)
        views.append(RouteView(name=name, taken=taken, verdicts=verdicts))
    return views


def scores_of(page: StudyPage) -> dict[str, tuple[Prediction, ImageResult]]:
    """Return what the latest results say of each image."""
    found: dict[str, tuple[Prediction, ImageResult]] = {}
    for job in _holding(page):
        prediction = job.prediction
        if prediction is None or prediction.outcome is Outcome.FAILED:
            continue
        for image in prediction.images:
            known = found.get(image.sop_instance_uid)
            if known is None or image.scores or not known[1].scores:
                found[image.sop_instance_uid] = (prediction, image)
    return found
