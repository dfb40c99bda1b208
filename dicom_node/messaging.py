"""Composition of the channels to a reading list: priority, messages, their preview."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import db.suggestions
from config.settings import Settings
from db.engine import Database
from dicom_node.core.protocols import InstanceStore, ResultWriter
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Job, Suggestion
from dicom_node.worklist.fhir import FHIRWriter
from dicom_node.worklist.hl7 import HL7Writer
from dicom_node.worklist.preview import Channel, MessageChannel, show_hl7, show_json
from dicom_node.worklist.priority import PriorityTable
from dicom_node.worklist.webhook import WebhookWriter


def build_suggest(settings: Settings) -> PriorityTable:
    """Make the site's table of priorities."""
    return PriorityTable(settings.worklist)


def build_writers(
    settings: Settings, database: Database, reports: InstanceStore
) -> dict[ReportKind, ResultWriter]:
    """Make what writes the messages of each kind."""

    def others(job: Job, at: datetime) -> Sequence[Suggestion]:
        found = db.suggestions.by_model(database, [job.study_id], now=at)
        return [one.suggestion for one in found if one.model != job.model]

    tables = {table.name: table for table in settings.destinations}
    return {
        ReportKind.HL7: HL7Writer(
            node=settings.node.ae_title,
            worklist=settings.worklist,
            destinations=tables,
            reports=reports,
            others=others,
        ),
        ReportKind.FHIR: FHIRWriter(destinations=tables, reports=reports),
        ReportKind.WEBHOOK: WebhookWriter(destinations=tables, reports=reports),
    }


def build_channels(
    writers: Mapping[ReportKind, ResultWriter],
) -> tuple[Channel, ...]:
    """Make the channels that can be previewed."""
    return tuple(
        MessageChannel(
            kind=kind,
            writer=writer,
            show=show_hl7 if kind is ReportKind.HL7 else show_json,
        )
        for kind, writer in writers.items()
    )
