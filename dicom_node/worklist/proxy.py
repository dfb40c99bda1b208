"""The worklist proxy: a Modality Worklist SCP between readers and the hospital's own.

    C-FIND-RQ   ->  the same bytes to the hospital's worklist, on its own association
    each answer ->  back at once, with the node's priority and reason where it has one
    C-CANCEL    ->  passed on

Nothing is written upstream, and no answer is kept: a reader who does not read holds up
the hospital's worklist, not this node's memory.

Source: PS3.4 annex K, PS3.7 9.1.2 and 9.3.2.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Protocol, cast

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.transport import ThreadedAssociationServer

from config.proxy import ProxyTable
from dicom_node.worklist.proxy_answer import Advise, Enricher, transcode
from dicom_node.worklist.proxy_callers import Admit, Callers, end_connection
from dicom_node.worklist.proxy_messages import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MAX_PDU_BYTES,
    MODALITY_WORKLIST_FIND,
    Response,
    UpstreamError,
)
from dicom_node.worklist.proxy_tls import PortTLS
from dicom_node.worklist.proxy_upstream import Query, Upstream, UpstreamPeer, Wish

log = logging.getLogger("dicom_node.worklist")

_VERIFICATION: Final = "1.2.840.10008.1.1"
# PS3.4 table K.4-1.
SUCCESS: Final = 0x0000
CANCELLED: Final = 0xFE00
OUT_OF_RESOURCES: Final = 0xA700
UNABLE_TO_PROCESS: Final = 0xC001
_QUEUED_PDUS: Final = 16
_LOOK_SECONDS: Final = 0.005
_CLOSE_SECONDS: Final = 5.0


class ProxyCounters(Protocol):
    """Where the proxy counts."""

    def query_ended(self, outcome: str, *, answers: int, seconds: float) -> None:
        """Count a query; its outcome is one of `OUTCOMES`."""


OUTCOMES: Final = ("answered", "cancelled", "refused", "failed", "cut off", "left")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyParts:
    """What the proxy is wired to.

    Args:
        admit: says why a caller is rejected, None if he may come in.
        advise: what the node suggests for an order; it may raise nothing.
        tls: of the port; None without it.
    """

    admit: Admit
    advise: Advise
    counters: ProxyCounters
    tls: PortTLS | None = None


class Proxy:
    """Serves C-FIND of the Modality Worklist model, and C-ECHO."""

    def __init__(self, table: ProxyTable, parts: ProxyParts) -> None:
        self._table = table
        self._counters = parts.counters
        self._enricher = Enricher(table, parts.advise)
        self._callers = Callers(parts.admit, table, parts.tls)
        self._server: ThreadedAssociationServer | None = None
        self._entity = _entity(table)

    def start(self) -> str:
        """Listen; return the address.

        Raises:
            ConfigError: nobody can listen there, or somebody does already.
        """
        handlers = [
            (evt.EVT_C_FIND, self._on_find),
            *self._callers.handlers,
        ]
        self._server = self._callers.serve(self._entity, handlers)
        host, port = self._server.server_address[:2]
        return f"{host}:{port}"

    def drain(self, seconds: float) -> None:
        """Take no new association; let queries finish for so long, then end them."""
        self._callers.close()
        until = time.monotonic() + seconds
        while self._callers.busy and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        if self._server is not None:
            self._server.shutdown()
        self._callers.end(_CLOSE_SECONDS)

    def _on_find(self, event: evt.Event) -> Iterator[tuple[Dataset | int, None]]:
        """Answer one C-FIND-RQ; never raise: pynetdicom would log the text."""
        exchange = _Exchange(event, self._table)
        started = time.monotonic()
        with self._callers.working():
            try:
                final = self._pass_on(exchange)
            except UpstreamError as error:
                log.warning("worklist not answered", extra={"reason": str(error)})
                final = exchange.failed()
            except Exception as error:  # noqa: BLE001 - a process's edge
                log.error("query failed", extra={"error": type(error).__name__})
                final = exchange.failed()
        self._counters.query_ended(
            exchange.outcome,
            answers=exchange.answers,
            seconds=time.monotonic() - started,
        )
        if final is not None:
            yield final, None

    def _pass_on(self, exchange: "_Exchange") -> Dataset | int | None:
        """Pass the query on and its answers back; return the final status.

        Raises:
            UpstreamError: the hospital's worklist gave no final answer.
        """
        query = exchange.query
        wanted = self._enricher.asked_for(query.identifier, query.transfer_syntax)
        with Upstream(exchange.peer, query.transfer_syntax) as upstream:
            syntax = upstream.transfer_syntax
            asked = transcode(query.identifier, query.transfer_syntax, syntax)
            sent = Query(
                message_id=query.message_id,
                priority=query.priority,
                identifier=asked,
                transfer_syntax=syntax,
            )
            for response in upstream.find(sent, exchange.wish):
                if not response.pending:
                    return exchange.ended(response)
                if exchange.answers >= self._table.max_answers:
                    exchange.outcome = "cut off"
                    return OUT_OF_RESOURCES
                answer = self._enricher.enrich(
                    response.identifier or b"", syntax, wanted
                )
                answer = transcode(answer, syntax, query.transfer_syntax)
                exchange.pass_back(response.status, answer)
        exchange.outcome = "left"
        return None


class _Exchange:
    """A query that was received, and its answers on the way back."""

    def __init__(self, event: evt.Event, table: ProxyTable) -> None:
        request, self._association = cast(C_FIND, event.request), event.assoc
        self._table, self._event = table, event
        self._context_id = event.context.context_id
        self._sop_class_uid = request.AffectedSOPClassUID
        self._cancelled = False
        self.answers = 0
        self.outcome = "failed"
        self.query = Query(
            message_id=request.MessageID or 0,
            priority=request.Priority,
            identifier=request.Identifier.getvalue() if request.Identifier else b"",
            transfer_syntax=str(event.context.transfer_syntax),
        )
        self.peer = UpstreamPeer.from_table(
            table, caller=self._association.requestor.ae_title
        )

    def wish(self) -> Wish:
        """Say whether the caller still wants answers."""
        if self._gone():
            return Wish.NOTHING
        self._cancelled = self._cancelled or self._event.is_cancelled
        return Wish.CANCEL if self._cancelled else Wish.ANSWERS

    def pass_back(self, status: int, identifier: bytes) -> None:
        """Send one pending answer, no faster than the caller reads."""
        until = time.monotonic() + self._table.timeout_seconds
        queue = self._association.dul.to_provider_queue
        while queue.qsize() > _QUEUED_PDUS and not self._gone():
            if time.monotonic() > until:
                self._hang_up()
                return
            time.sleep(_LOOK_SECONDS)
        response = C_FIND()
        response.MessageIDBeingRespondedTo = self.query.message_id
        response.AffectedSOPClassUID = self._sop_class_uid
        response.Status = status
        response.Identifier = BytesIO(identifier)
        self._association.dimse.send_msg(response, self._context_id)
        self.answers += 1

    def ended(self, response: Response) -> Dataset | int:
        """Return the final status of upstream, as the caller is to hear it."""
        self.outcome = "answered" if response.status == SUCCESS else "refused"
        if response.status == CANCELLED:
            self.outcome = "cancelled"
        if not response.comment:
            return response.status
        status = Dataset()
        status.Status = response.status
        status.ErrorComment = response.comment.decode("latin-1").strip(" \0")[:64]
        return status

    def failed(self) -> int | None:
        """Return the final status when upstream gave none."""
        if self._gone():
            self.outcome = "left"
            return None
        if self._cancelled:
            self.outcome = "cancelled"
            return CANCELLED
        if self._table.on_failure == "empty":
            return SUCCESS
        return UNABLE_TO_PROCESS if self.answers else OUT_OF_RESOURCES

    def _gone(self) -> bool:
        association = self._association
        waiting = association.dul.peek_next_pdu()
        return (
            waiting is not None  # a release or an abort in the middle of a query
            or not association.is_established
            or not association.dul.is_alive()
        )

    def _hang_up(self) -> None:
        """End the connection of a caller who does not read; an abort would wait."""
        end_connection(self._association)


def _entity(table: ProxyTable) -> AE:
    entity = AE(ae_title=table.ae_title)
    syntaxes = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]
    entity.add_supported_context(MODALITY_WORKLIST_FIND, syntaxes)
    entity.add_supported_context(_VERIFICATION, syntaxes)
    entity.maximum_pdu_size = MAX_PDU_BYTES
    return entity
