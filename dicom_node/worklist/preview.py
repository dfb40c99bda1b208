"""What a channel would tell another system of a result, shown without sending it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dicom_node.core.errors import UsageError
from dicom_node.core.hl7 import CODECS, read_message
from dicom_node.core.protocols import ResultWriter
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Report
from dicom_node.core.writing import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would be sent.

    Args:
        destination: "" for the form of the defaults.
        identifier: by which the receiver knows it again, such as MSH-10.
        text: for people, in lines.
        document: the same for machines: JSON where it is JSON, else the text.
        remark: what keeps it from being sent, "" if nothing does.
    """

    channel: str
    destination: str
    identifier: str
    text: str
    document: Any
    remark: str = ""


class Channel(Protocol):
    """One way by which another system learns of a result."""

    @property
    def name(self) -> str:
        """What `--format` calls it."""

    def preview(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> Preview | None:
        """Return what would be sent; None when there is nothing to send.

        Args:
            destination: one that is configured, or "".
            earlier: what an earlier revision of the study sent there.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageChannel:
    """A channel whose messages a writer writes.

    Args:
        show: makes of a message's bytes a text, a document and a remark.
    """

    kind: ReportKind
    writer: ResultWriter
    show: Callable[[bytes], tuple[str, Any, str]]

    @property
    def name(self) -> str:
        """The kind of message."""
        return self.kind.value

    def preview(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> Preview | None:
        """Write the message as it would be sent, and show it.

        Raises:
            ReportError: it cannot be written.
        """
        made = self.writer.write(result, destination=destination, earlier=earlier)
        if made is None:
            return None
        report, content = made
        text, document, remark = self.show(content)
        return Preview(
            channel=self.name,
            destination=destination,
            identifier=report.sop_instance_uid,
            text=text,
            document=document,
            remark=remark,
        )


def show_hl7(content: bytes) -> tuple[str, Any, str]:
    """Show an HL7 v2 message a segment a line."""
    message = read_message(content)
    charset = "" if message is None else message.value("MSH", 18)
    text = content.decode(CODECS.get(charset, "latin-1"), "replace")
    lines = text.rstrip("\r").replace("\r", "\n")
    remark = ""
    if message is None or not (message.value("OBR", 3) and message.value("PID", 3)):
        remark = (
            "unmatched: the images have no Accession Number or no Patient ID; it is "
            "kept and not sent"
        )
    return lines, lines.split("\n"), remark


def show_json(content: bytes) -> tuple[str, Any, str]:
    """Show a JSON document, indented.

    Raises:
        UsageError: it is none.
    """
    try:
        document = json.loads(content)
    except ValueError:
        raise UsageError("this channel's messages are no JSON") from None
    return json.dumps(document, indent=2, ensure_ascii=False), document, ""
