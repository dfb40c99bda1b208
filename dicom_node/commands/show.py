"""`show`: one study's whole story, and why; or who called and what was refused."""

import argparse
from contextlib import closing
from datetime import datetime
from typing import Any

from rich.console import Console

import db.queries
import db.schema
from db.conflicts import conflicts_of
from db.engine import Database
from db.holding import holding
from db.refusals import RefusalQuery, count_refusals, list_refusals
from db.story import DecisionStory, JobStory, StudyStory, as_document
from db.why import what_to_do, why_no_result, why_not_delivered
from dicom_node.commands.screen import console, loaded, print_json
from dicom_node.commands.show_images import describe_images
from dicom_node.commands.studies import (
    describe_deliveries,
    describe_finding,
    describe_job,
)
from dicom_node.core.errors import NodeError, UsageError
from dicom_node.core.provenance import Provenance
from dicom_node.core.quiet import QuietTimes
from dicom_node.core.refusal import remedy_of
from dicom_node.core.states import StudyState

_DIGITS = 12  # of a digest
_REFUSALS_READ = 20  # to tell their reasons


def show(options: argparse.Namespace) -> int:
    """Print a study's story, the latest associations, or what was refused."""
    if not options.study and not options.associations and not options.refused:
        raise UsageError("name a Study Instance UID or Accession Number to show")
    if options.limit < 1:
        raise UsageError("--limit takes a number from 1")
    settings = loaded(options).settings
    with closing(db.schema.open_checked(settings.database.url)) as database:
        return _show(options, database, settings.quiet_times)


def _show(options: argparse.Namespace, database: Database, quiet: QuietTimes) -> int:
    if options.refused and not options.associations:
        from dicom_node.commands.refused import print_refused

        print_refused(
            database,
            key=options.study or "",
            limit=options.limit,
            as_json=options.json,
        )
        return 0
    if options.associations:
        # Its names are slow to import, and only needed here.
        from dicom_node.commands.associations import print_associations

        print_associations(
            database,
            limit=options.limit,
            refused=options.refused,
            as_json=options.json,
        )
        return 0
    stories = db.queries.timeline(database, options.study)
    if not stories:
        raise NodeError(_say_nothing(database, options.study))
    if options.json:
        documents = [_document(story, quiet) for story in stories]
        print_json(documents[0] if len(documents) == 1 else documents)
        return 0
    screen = console()
    for story in stories:
        _print_story(screen, story, quiet)
        uid = story.summary["study_instance_uid"]
        for said in _say_conflicts(database, uid):
            screen.print(f"\nNot here: {said}", markup=False)
    return 0


def _say_nothing(database: Database, key: str) -> str:
    said = "no study with this Study Instance UID or Accession Number was received"
    if count := count_refusals(database, key):
        images = "1 of its images was" if count == 1 else f"{count} of its images were"
        lines, _ = list_refusals(database, RefusalQuery(key=key, limit=_REFUSALS_READ))
        why = dict.fromkeys(
            f"{one.reason} (what to do: {remedy_of(one.status, one.reason)})"
            for one in (line.instance for line in lines)
        )
        return (
            f"{said}, but {images} refused: {'; '.join(why)}. `dicom-node show "
            "--refused` with the same UID or number tells more"
        )
    if conflicts := _say_conflicts(database, key):
        return f"{said}, but {'; '.join(conflicts)}"
    return (
        f"{said}: `dicom-node studies` lists all, `dicom-node show --refused` tells "
        "what was refused and why, `dicom-node show --associations` who called"
    )


def _say_conflicts(database: Database, key: str) -> list[str]:
    """Say which instances that name the study are another study's by their UID."""
    said = []
    for found in conflicts_of(database, key):
        kept = "instances is" if found.instances == 1 else "instances are"
        said.append(
            f"{found.instances} of its {kept} kept as a conflict and never used: "
            f"study {found.study_instance_uid} has the same SOP Instance UID with "
            "other contents; have what changed the Study Instance UID also give new "
            "SOP Instance UIDs, and send again"
        )
    return said


def _document(story: StudyStory, quiet: QuietTimes) -> dict[str, Any]:
    at = _complete_at(story, quiet)
    why, undelivered, remedy = _why(story)
    return as_document(story) | {
        "complete_at": at.isoformat() if at else None,
        "why_no_result": why,
        "why_not_delivered": undelivered,
        "what_to_do": remedy,
    }


def _why(story: StudyStory) -> tuple[str, str, str]:
    """Say why there is no result, what was not delivered, and what helps."""
    study = story.summary
    state, ignored = StudyState(study["state"]), study["ignored_because"]
    held = holding(study["jobs"], [item.revision for item in story.decisions])
    return (
        why_no_result(state, ignored, held),
        why_not_delivered(held),
        what_to_do(state, ignored, held),
    )


def _complete_at(story: StudyStory, quiet: QuietTimes) -> datetime | None:
    """Return when a study that is being received is complete if nothing more comes."""
    waits = story.summary["state"] == StudyState.RECEIVING
    return quiet.complete_at(story.arrivals) if waits else None


def _print_story(screen: Console, story: StudyStory, quiet: QuietTimes) -> None:
    study = story.summary
    screen.print(f"Study {study['study_instance_uid']}")
    screen.print(
        f"{study['state']}, revision {study['revision']}, {study['instances']} "
        f"instances, accession number {study['accession_number'] or '(none)'}"
    )
    if at := _complete_at(story, quiet):
        when = at.isoformat(sep=" ", timespec="seconds")
        screen.print(f"Complete at {when} if nothing more arrives", markup=False)
    titles = ("No AI result", "Not delivered", "What to do")
    for title, said in zip(titles, _why(story), strict=True):
        if said:
            screen.print(f"{title}: {said}", markup=False)
    for series in story.series:
        own = ", result of this node" if series.own_results else ""
        screen.print(
            f"  series {series.series_instance_uid} {series.modality or '?'} "
            f"{series.instances} instances{own}",
            markup=False,
        )
    for decision in story.decisions:
        _print_decision(screen, decision)
    for job in story.jobs:
        _print_job(screen, job)
    screen.print("\nTimeline")
    for event in story.events:
        detail = ", ".join(
            f"{key} {value}" for key, value in event.detail.items() if value is not None
        )
        moment = event.at.isoformat(sep=" ", timespec="milliseconds")
        screen.print(f"  {moment}  {event.what}  {detail}", markup=False)


def _print_decision(screen: Console, decision: DecisionStory) -> None:
    screen.print(f"\nRouting of revision {decision.revision}: {decision.state}")
    for verdict in decision.verdicts:
        mark = "yes" if verdict.matched else "NO "
        attribute = f" ({verdict.attribute})" if verdict.attribute else ""
        screen.print(
            f"  {mark} route '{verdict.route}' {verdict.rule}{attribute} "
            f"{verdict.detail}".rstrip(),
            markup=False,
        )


def _print_job(screen: Console, job: JobStory) -> None:
    summary = job.summary
    screen.print(
        f"\n{summary['model']} {summary['model_version'] or ''} on revision "
        f"{summary['revision']}: {describe_job(summary)}",
        markup=False,
    )
    if summary["priority"] != "normal":
        screen.print(f"  priority: {summary['priority']}")
    if summary["reason"]:
        screen.print(f"  because: {summary['reason']}", markup=False)
    for finding in summary["findings"]:
        screen.print(f"  {describe_finding(finding)}", markup=False)
    for line in describe_images(job.prediction.images if job.prediction else ()):
        screen.print(f"  {line}", markup=False)
    if job.prediction and job.prediction.provenance:
        text = _say_made_with(job.prediction.provenance)
        screen.print(f"  made with: {text}", markup=False)
    if job.deliveries:
        screen.print(f"  delivered: {describe_deliveries(summary)}", markup=False)
    for delivery in job.deliveries:
        if delivery.reason:
            told = delivery.summary
            whose = f"{told['kind']} to {told['destination']}"
            screen.print(f"    {whose}: {delivery.reason}", markup=False)


def _say_made_with(made_with: Provenance) -> str:
    """Say it short; `--json` has it whole."""
    machinery = made_with.machinery
    digests = (
        ("weights", made_with.weights_sha256),
        ("card", made_with.card_sha256),
        ("preprocessing", made_with.preprocessing_sha256),
        (f"code {made_with.code_version}", made_with.code_sha256),
    )
    named = [f"{name} {digest[:_DIGITS]}" for name, digest in digests if digest]
    ran = f"{machinery.engine} {machinery.precision} on {machinery.device}"
    torch = dict(machinery.libraries).get("torch", "?")
    return ", ".join([*named, f"torch {torch}", ran, f"{machinery.threads} threads"])
