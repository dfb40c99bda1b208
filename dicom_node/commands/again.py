"""`retry` puts failed work back; `replay` runs a study again."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict

import db.again
import db.audit
import db.queries
import db.revive
import db.studies
from config.settings import Settings
from db.engine import Database
from db.revive import Choice
from db.story import JobStory
from dicom_node import app
from dicom_node.commands.named import named_study
from dicom_node.commands.screen import loaded, print_json
from dicom_node.commands.verify import verify
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import NodeError, UsageError
from dicom_node.core.ids import DeviceUID, StudyId
from dicom_node.core.people import AuditEntry
from dicom_node.core.states import ReportKind, StudyState, WorkState
from dicom_node.core.types import Prediction, Study
from dicom_node.writing import name_receivers


def retry(options: argparse.Namespace) -> int:
    """Put FAILED jobs and deliveries back, or send what was delivered once more."""
    if options.all and options.study:
        raise UsageError("name a study or say --all, not both")
    if options.delivered and not options.study:
        raise UsageError("--delivered sends a study's results again: name the study")
    settings = loaded(options).settings
    _require_destination(settings, options.destination)
    with closing(app.open_database(settings)) as database:
        uid, study_id = None, None
        if options.study:
            study = _load(database, options.study)
            uid, study_id = study.study_instance_uid, study.study_id
        choice = Choice(
            study_instance_uid=uid,
            destination=options.destination,
            kind=ReportKind(options.kind) if options.kind else None,
        )
        if options.delivered:
            return _send_again(options, database, choice, study_id=study_id)
        done = db.revive.put_back(database, choice, now=SystemClock().now())
        if done.jobs or done.deliveries or done.hurried:
            detail = f"{done.jobs} jobs, {done.deliveries + done.hurried} deliveries"
            _audit(database, "retry", study_id=study_id, detail=detail)
    if options.json:
        print_json(asdict(done))
        return 0
    print(f"put back {done.jobs} jobs and {done.deliveries} deliveries")
    if done.hurried:
        print(f"{done.hurried} deliveries that waited for another attempt go at once")
    if done.quarantined:
        print(
            f"{done.quarantined} deliveries stay in quarantine, their object must not "
            "leave: `dicom-node replay` writes it anew"
        )
    if done.gone:
        print(
            f"{done.gone} deliveries stay as they are, retention has removed their "
            "objects: send their studies again, then `dicom-node replay` them"
        )
    return 0


def _require_destination(settings: Settings, name: str | None) -> None:
    """Raise UsageError for a destination that nothing can be sent to."""
    known = [table.name for table in settings.destinations]
    if name is None or name in known:
        return
    listed = ", ".join(known) or "none"
    raise UsageError(
        f"--destination is not one of the configured destinations: there are {listed}"
    )


def _send_again(
    options: argparse.Namespace,
    database: Database,
    chosen: Choice,
    *,
    study_id: StudyId | None,
) -> int:
    done = db.again.resend_delivered(database, chosen, now=SystemClock().now())
    detail = f"{done.deliveries} deliveries"
    _audit(database, "sent again", study_id=study_id, detail=detail)
    if options.json:
        print_json(asdict(done))
        return 0
    print(f"{done.deliveries} deliveries are sent again, as the same objects")
    for reason in done.refused:
        print(reason)
    return 0


def _audit(
    database: Database, action: str, *, study_id: StudyId | None, detail: str
) -> None:
    """Write down what was asked for here: the study's timeline tells it."""
    entry = AuditEntry(
        at=SystemClock().now(),
        who="command line",
        action=action,
        study_id=study_id,
        detail=detail,
    )
    db.audit.record(database, entry)


def replay(options: argparse.Namespace) -> int:
    """Run a study again, or with --verify compare a fresh result with the stored one.

    What the present routes and models would do the same is sent again as it is;
    anything else makes a new revision.
    """
    settings = loaded(options).settings
    with closing(app.open_database(settings)) as database:
        return _replay(options, settings, database)


def _replay(options: argparse.Namespace, settings: Settings, database: Database) -> int:
    study = _load(database, options.study)
    latest = _latest_jobs(database, study)
    if options.verify:
        stored = {name: job.prediction for name, job in latest.items()}
        known = {name: one for name, one in stored.items() if one is not None}
        return verify(options, settings, study=study, stored=known)
    if study.state is StudyState.RECEIVING:
        raise NodeError("the study is still being received: wait until it is routed")
    _require_files(settings, study)
    revision = None
    sent = 0
    if _unchanged(settings, study, latest):
        sent = db.revive.resend(database, study.study_id, now=SystemClock().now())
    else:
        revision = db.studies.reopen(database, study.study_id, now=SystemClock().now())
    asked = f"{sent} deliveries" if revision is None else f"revision {revision}"
    action = "sent again" if revision is None else "replay"
    _audit(database, action, study_id=study.study_id, detail=asked)
    if options.json:
        print_json({"revision": revision, "resent": sent})
    elif revision is None:
        print(f"nothing has changed since: {sent} reports are sent again")
    else:
        print(f"the study is routed and inferred on again, as revision {revision}")
    return 0


def _load(database: Database, key: str) -> Study:
    return db.studies.load(database, named_study(database, key))


def _require_files(settings: Settings, study: Study) -> None:
    """Raise NodeError when retention has removed what the study would run on."""
    if study.pruned_at is None:
        return
    store = app.instance_store(settings)
    missing = sum(not store.path(one.file_key).exists() for one in study.evidence)
    if missing:
        raise NodeError(
            f"{missing} of the study's {len(study.evidence)} files are gone since "
            f"retention removed them on {study.pruned_at:%Y-%m-%d}: send the study "
            "again, then replay it"
        )


def _latest_jobs(database: Database, study: Study) -> dict[str, JobStory]:
    """Return the jobs of the study's present revision by model."""
    stories = db.queries.timeline(database, study.study_instance_uid)
    return {
        job.summary["model"]: job
        for story in stories
        if story.summary["study_instance_uid"] == study.study_instance_uid
        for job in story.jobs
        if job.summary["revision"] == study.revision
    }


def _unchanged(
    settings: Settings, study: Study, latest: Mapping[str, JobStory]
) -> bool:
    """Tell whether routing and inferring now could only repeat what is there."""
    routed: dict[str, list[str]] = {}
    for route in app.build_router(settings).route(study).routes:
        routed.setdefault(route.model, []).extend(route.destinations)
    if set(routed) != set(latest) or not routed:
        return False
    if study.pruned_at is not None and not _has_files(settings, latest):
        return False
    return all(
        job.summary["state"] == WorkState.DONE
        and job.prediction is not None
        and job.prediction.device_uid == _device_uid(settings, model)
        and _has_reports_for(settings, job, routed[model], job.prediction)
        for model, job in latest.items()
    )


def _has_files(settings: Settings, latest: Mapping[str, JobStory]) -> bool:
    """Tell whether the reports that retention may have removed are here."""
    store = app.report_store(settings)
    return all(
        store.path(report.file_key).exists()
        for job in latest.values()
        for report in job.reports
    )


def _has_reports_for(
    settings: Settings, job: JobStory, names: Sequence[str], prediction: Prediction
) -> bool:
    """Tell whether these destinations, and no others, have the reports they want."""
    destinations = app.build_destinations(settings)
    wanted = name_receivers(names, destinations, prediction.outcome)
    written = {report.sop_class_uid for report in job.reports}
    return {item.summary["destination"] for item in job.deliveries} == set(
        wanted
    ) and all(written.issuperset(destinations[name].sop_class_uids) for name in wanted)


def _device_uid(settings: Settings, model: str) -> DeviceUID:
    from inference.bundle import find_bundle

    return find_bundle(model, settings.models.folder).device_uid
