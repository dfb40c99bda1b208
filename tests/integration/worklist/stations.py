"""A proxy in the test's process, and hospitals' worklists that behave and misbehave."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association

from config.proxy import ProxyTable
from dicom_node.core.states import Urgency
from dicom_node.worklist.proxy import Proxy, ProxyParts
from dicom_node.worklist.proxy_answer import Advice, OrderKey
from dicom_node.worklist.proxy_callers import ProxyCaller, Refusal
from dicom_node.worklist.proxy_tls import PortTLS

MWL = "1.2.840.10008.5.1.4.31"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
Answer = tuple[int, Dataset | None]
ADVICE = Advice(
    urgency=Urgency.STAT,
    reason="Pneumothorax 0.93 at or above 0.50",
    model="cxr",
    model_version="1.2.0",
)


def advise(order: OrderKey) -> Advice | None:
    """Know one order."""
    return ADVICE if order.accession_number == "A1" else None


def let_in(_caller: ProxyCaller) -> Refusal | None:
    """Let everybody in."""
    return None


@dataclass
class Counted:
    """What the proxy has counted."""

    queries: list[tuple[str, int]] = field(default_factory=list)

    def query_ended(self, outcome: str, *, answers: int, seconds: float) -> None:
        """Count a query."""
        assert seconds >= 0
        self.queries.append((outcome, answers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A proxy that listens."""

    port: int
    proxy: Proxy
    counted: Counted


@contextmanager
def running_proxy(
    upstream_port: int,
    admit: Callable[[ProxyCaller], Refusal | None] = let_in,
    *,
    tls: PortTLS | None = None,
    **settings: object,
) -> Iterator[Running]:
    """Serve a proxy until the block ends."""
    table = ProxyTable.model_validate(
        {
            "port": 0,
            "upstream_host": "127.0.0.1",
            "upstream_port": upstream_port,
            "upstream_ae_title": "WORKLIST",
            "timeout_seconds": 5.0,
            **settings,
        }
    )
    counted = Counted()
    parts = ProxyParts(admit=admit, advise=advise, counters=counted, tls=tls)
    proxy = Proxy(table, parts)
    port = int(proxy.start().rpartition(":")[2])
    try:
        yield Running(port=port, proxy=proxy, counted=counted)
    finally:
        proxy.drain(0.0)


@contextmanager
def hospital(
    answer: Callable[[evt.Event], Iterator[Answer]],
    syntaxes: tuple[str, ...] = (EXPLICIT, IMPLICIT),
    *,
    tls: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """Serve a worklist with pynetdicom; give its port."""
    entity = AE(ae_title="WORKLIST")
    entity.add_supported_context(MWL, list(syntaxes))
    opened: list[socket.socket] = []

    def keep(event: evt.Event) -> None:
        wrapped: Any = event.assoc.dul.socket
        opened.append(wrapped.socket)

    handlers: list[Any] = [(evt.EVT_C_FIND, answer), (evt.EVT_CONN_OPEN, keep)]
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls
    )
    assert server is not None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        for connection in opened:  # pynetdicom leaves that of an abort open
            connection.close()


def item(accession: str = "A1", **values: object) -> Dataset:
    """Return an answer of a hospital."""
    dataset = Dataset()
    dataset.AccessionNumber = accession
    dataset.PatientName = "Doe^John"
    dataset.RequestedProcedurePriority = "ROUTINE"
    dataset.RequestedProcedureComments = "after lunch"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def question(*keywords: str) -> Dataset:
    """Return a query for these attributes."""
    dataset = Dataset()
    dataset.AccessionNumber = ""
    for keyword in keywords:
        setattr(dataset, keyword, "")
    return dataset


def ask(
    port: int,
    query: Dataset,
    *,
    syntax: str = EXPLICIT,
    each: Callable[[int, Association], None] | None = None,
) -> tuple[list[Dataset], int | None]:
    """C-FIND with pynetdicom; return the answers and the last status.

    Args:
        each: called after each answer with its number and the association.
    """
    entity = AE(ae_title="READER")
    entity.add_requested_context(MWL, syntax)
    entity.dimse_timeout = entity.acse_timeout = 30
    association = entity.associate("127.0.0.1", port, ae_title="AIWORKLIST")
    found: list[Dataset] = []
    last = None
    try:
        if not association.is_established:
            return found, None
        for status, identifier in association.send_c_find(query, MWL, msg_id=7):
            last = int(status.Status) if "Status" in status else None
            if identifier is not None:
                found.append(identifier)
                if each is not None:
                    each(len(found), association)
    finally:
        wrapped = association.dul.socket
        connection = wrapped.socket if wrapped else None
        if association.is_established:
            association.release()
        if connection is not None:  # pynetdicom leaves that of an abort open
            with suppress(RuntimeError):  # rejected: it never began
                association.join(10)
            connection.close()
    return found, last
