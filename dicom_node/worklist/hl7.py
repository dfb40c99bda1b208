"""Results as HL7 v2 messages: ORU^R01, preliminary, corrected or withdrawn."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from config.destinations import DestinationTable
from config.worklist import WorklistTable
from dicom_node.core.hl7 import Message, read_message
from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.protocols import InstanceStore
from dicom_node.core.states import Outcome, ReportKind, Urgency
from dicom_node.core.types import Job, Report, Suggestion
from dicom_node.core.writing import Result
from dicom_node.worklist.hl7_observations import correct, observe, stands
from dicom_node.worklist.hl7_segments import Content, Form, Stamp, write_segments
from dicom_node.worklist.hl7_text import encode
from dicom_node.worklist.order import read_order
from dicom_node.worklist.priority import PriorityTable, most_urgent

OtherSuggestions = Callable[[Job, datetime], Sequence[Suggestion]]

_WITHOUT_RESULT: Final = (Outcome.NOT_EVALUATED, Outcome.FAILED)
_CONTROL_ID_LENGTH: Final = 20  # of MSH-10 up to v2.5.1
_DEFAULT: Final = DestinationTable(name="preview", kind="hl7", host="preview", port=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HL7Writer:
    """Writes an ORU^R01 for each destination.

    Args:
        node: the node's AE title.
        reports: where earlier messages lie.
        others: what the study's other models suggest at a moment: a message never
            says less than they did.
    """

    node: str
    worklist: WorklistTable
    destinations: Mapping[str, DestinationTable]
    reports: InstanceStore
    others: OtherSuggestions

    def write(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> tuple[Report, bytes] | None:
        """Return the message; None when there is no result and nothing to withdraw.

        A destination that is not configured gets the form of the defaults.

        Raises:
            ReportError: no file of the study can be read back.
        """
        table = self.destinations.get(destination, _DEFAULT)
        before = None if earlier is None else self._read(earlier)
        if result.prediction.outcome in _WITHOUT_RESULT:
            withdraws = earlier is not None and (before is None or stands(before))
            if not withdraws and not table.send_not_evaluated:
                return None
        content = self._content(result, before, corrected=earlier is not None)
        form = self._form(table)
        control_id = _identify(
            result, destination, write_segments(content, form, Stamp())
        )
        stamp = Stamp(control_id=control_id, at=result.prediction.finished_at)
        message = encode(write_segments(content, form, stamp), form.codec)
        report = Report(
            sop_class_uid=SOPClassUID(""),
            sop_instance_uid=SOPInstanceUID(control_id),
            series_instance_uid=SeriesInstanceUID(""),
            file_key="",
            sha256=sha256(message).hexdigest(),
            kind=ReportKind.HL7,
            destination=destination,
        )
        return report, message

    def _content(
        self, result: Result, before: Message | None, *, corrected: bool
    ) -> Content:
        made = result.prediction
        order = read_order(result.files, made)
        suggestions = [result.suggestion] if result.suggestion is not None else []
        suggestions += self.others(result.job, made.finished_at)
        said = observe(
            made,
            order.study_instance_uid,
            suggestion=most_urgent(suggestions),
            critical=[
                match.finding
                for match in PriorityTable(self.worklist).matches(made)
                if match.urgency is Urgency.STAT
            ],
        )
        return Content(
            order=order,
            prediction=made,
            observations=correct(said, before) if corrected else said,
            node=self.node,
            corrected=corrected,
        )

    def _form(self, table: DestinationTable) -> Form:
        return Form(
            version=table.version,
            charset=table.charset,
            sender=(
                self.worklist.sending_application or self.node,
                self.worklist.sending_facility,
            ),
            receiver=(table.receiving_application, table.receiving_facility),
        )

    def _read(self, earlier: Report) -> Message | None:
        """Read what was sent before; None if its file is gone."""
        try:
            return read_message(self.reports.path(earlier.file_key).read_bytes())
        except OSError:
            return None


def _identify(result: Result, destination: str, segments: Sequence[str]) -> str:
    """Make the MSH-10 that the same result always has at a destination."""
    parts = (
        result.study.study_instance_uid,
        str(result.job.revision),
        result.prediction.device_uid,
        destination,
        *segments,
    )
    digest = sha256("\n".join(parts).encode("utf-8", "replace")).digest()
    return base64.b32encode(digest).decode("ascii")[:_CONTROL_ID_LENGTH]
