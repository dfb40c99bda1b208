"""`worklist preview`: what each channel would tell of a study; `worklist proxy`."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import db.reports
import db.results
import db.studies
from config.settings import Settings
from db.engine import Database
from dicom_node import app
from dicom_node.commands.named import named_study
from dicom_node.commands.screen import loaded, print_json
from dicom_node.core.errors import NodeError, UsageError
from dicom_node.core.states import ReportKind
from dicom_node.core.writing import Result
from dicom_node.messaging import build_channels, build_suggest, build_writers
from dicom_node.store.inputs import open_inputs
from dicom_node.worklist.preview import Channel, Preview
from dicom_node.worklist.priority import PriorityTable


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A model's result, and what the channels would tell of it."""

    result: Result
    table: PriorityTable
    messages: tuple[Preview, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        made, suggestion = self.result.prediction, self.result.suggestion
        return {
            "study_instance_uid": self.result.study.study_instance_uid,
            "revision": self.result.job.revision,
            "model": made.model,
            "model_version": made.model_version,
            "outcome": made.outcome.value,
            "suggestion": None if suggestion is None else asdict(suggestion),
            "rules": [
                {"rule": one.rule, "urgency": one.urgency, "reason": one.reason}
                for one in self.table.matches(made)
            ],
            "messages": [
                {
                    "channel": one.channel,
                    "destination": one.destination,
                    "identifier": one.identifier,
                    "remark": one.remark,
                    "content": one.document,
                }
                for one in self.messages
            ],
        }

    def lines(self) -> Iterator[str]:
        """Say it for people."""
        made, suggestion = self.result.prediction, self.result.suggestion
        yield (
            f"{made.model} {made.model_version} on revision "
            f"{self.result.job.revision}: {made.outcome.value}"
        )
        if suggestion is None:
            yield "  suggested priority: none"
        else:
            until = suggestion.expires_at
            end = f", until {until.isoformat(timespec='minutes')}" if until else ""
            why = f"{suggestion.urgency} ({suggestion.reason})"
            yield f"  suggested priority: {why}{end}"
        for one in self.table.matches(made):
            yield f"  rule {one.rule} says {one.urgency}: {one.reason}"
        for message in self.messages:
            where = message.destination or "a destination with the defaults"
            yield f"\n{message.channel} to {where}, {message.identifier}"
            if message.remark:
                yield f"NOT SENT: {message.remark}"
            yield message.text
        if not self.messages:
            yield "  no message: no channel has anything to tell of it"


def worklist(options: argparse.Namespace) -> int:
    """Carry out the action that the options name."""
    if options.action == "proxy":
        from dicom_node.commands.proxy import proxy

        return proxy(options)
    return preview(options)


def preview(options: argparse.Namespace) -> int:
    """Show what would be sent of a study's stored results; send nothing."""
    settings = loaded(options).settings
    with closing(app.open_database(settings)) as database:
        shown = list(_show(options, settings, database))
    if options.json:
        print_json([one.document() for one in shown])
    else:
        print("\n\n".join("\n".join(one.lines()) for one in shown))
    return 0


def _show(
    options: argparse.Namespace, settings: Settings, database: Database
) -> Iterator[_Shown]:
    writers = build_writers(settings, database, app.report_store(settings))
    channels = {one.name: one for one in build_channels(writers)}
    table = build_suggest(settings)
    for result in _results(options.study, settings, database, table):
        places = _places(options, settings, result.job.destinations, channels)
        messages = (
            _message(database, channels[name], result, destination)
            for name, destination in places
        )
        yield _Shown(
            result=result,
            table=table,
            messages=tuple(one for one in messages if one is not None),
        )


def _results(
    key: str, settings: Settings, database: Database, table: PriorityTable
) -> Iterator[Result]:
    """Put the stored results together as they were when they were written."""
    study_id = named_study(database, key)
    stored = db.results.latest(database, study_id)
    if not stored:
        raise NodeError(
            "no model has a result of this study: `dicom-node show` on it says why"
        )
    store = app.instance_store(settings)
    for one in stored:
        study = db.studies.load(database, study_id, revision=one.job.revision)
        yield Result(
            job=one.job,
            study=study,
            files=open_inputs(store, study.evidence),
            prediction=one.prediction,
            report=one.report,
            suggestion=table.suggest(one.prediction, now=one.prediction.finished_at),
        )


def _places(
    options: argparse.Namespace,
    settings: Settings,
    routed: Sequence[str],
    channels: Mapping[str, Channel],
) -> list[tuple[str, str]]:
    """Pair the channels that are wanted with the destinations they go to."""
    known = {
        table.name: table.kind
        for table in settings.destinations
        if table.kind in channels
    }
    wanted = options.format
    if options.destination:
        kind = known.get(options.destination)
        if kind is None or wanted not in (None, kind):
            raise UsageError(
                "--destination takes one that gets messages, and --format is then its "
                f"kind: {', '.join(known) or 'there is none in the configuration'}"
            )
        return [(kind, options.destination)]
    if wanted:
        named = [(wanted, name) for name, kind in known.items() if kind == wanted]
        return named or [(wanted, "")]
    if known:
        return [(kind, name) for name, kind in known.items() if name in routed]
    return [(name, "") for name in channels]


def _message(
    database: Database, channel: Channel, result: Result, destination: str
) -> Preview | None:
    earlier = None
    if destination:
        kind = ReportKind(channel.name)
        earlier = db.reports.earlier_report(
            database, result.job, kind=kind, destination=destination
        )
    return channel.preview(result, destination=destination, earlier=earlier)
