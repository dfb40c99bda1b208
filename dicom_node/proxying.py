"""The composition root of the worklist proxy: what is known, and who may call."""

import logging
import ssl
from collections.abc import Callable

import db.orders
from config.proxy import ProxyTable
from config.settings import Settings
from db.engine import Database
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import DatabaseError
from dicom_node.core.patient import PatientKeys
from dicom_node.core.tls import TLSFiles
from dicom_node.observe.role_metrics import ProxyMetrics
from dicom_node.receive.admission import Admission, Caller, Peer
from dicom_node.receive.identity import identity_of
from dicom_node.receive.slots import Slots
from dicom_node.receive.tls import ServerTLS, subject_of
from dicom_node.worklist.proxy import OUTCOMES, Proxy, ProxyParts
from dicom_node.worklist.proxy_answer import Advice, OrderKey
from dicom_node.worklist.proxy_callers import ProxyCaller, Refusal

log = logging.getLogger("dicom_node.worklist")

# Of a database that is down the proxy says nothing: readers wait for the worklist.
DATABASE_SECONDS = 2.0
_ENOUGH = 1000  # the proxy counts its associations itself


def build_proxy(settings: Settings, database: Database, metrics: ProxyMetrics) -> Proxy:
    """Wire the proxy to the suggestions and to [[peers]].

    Raises:
        ConfigError: the key of the patients' digests, or a file of TLS, cannot be used.
    """
    parts = ProxyParts(
        admit=_admit(settings),
        advise=_advise(database, PatientKeys(settings.patient_key_file)),
        counters=metrics,
        tls=port_tls(settings.worklist.proxy),
    )
    return Proxy(settings.worklist.proxy, parts)


def port_tls(table: ProxyTable) -> ServerTLS | None:
    """Make the TLS of the proxy's port; None without it.

    Raises:
        ConfigError: a file cannot be used.
    """
    if not table.tls:
        return None
    files = TLSFiles(
        ca=table.ca,
        certificate=table.certificate,
        private_key=table.private_key,
        where="worklist.proxy",
    )
    required = table.client_certificate == "required"
    return ServerTLS(files, client_required=required)


def proxy_metrics(settings: Settings) -> ProxyMetrics:
    """Open what the proxy counts in."""
    return ProxyMetrics(settings.metrics_dir, OUTCOMES)


def _admit(settings: Settings) -> Callable[[ProxyCaller], Refusal | None]:
    admission = Admission(
        [settings.worklist.proxy.ae_title],
        [Peer.from_table(table) for table in settings.peers],
        slots=Slots(_ENOUGH, _ENOUGH),
    )

    def admit(caller: ProxyCaller) -> Refusal | None:
        known = Caller(
            calling_ae_title=caller.calling_ae_title,
            called_ae_title=caller.called_ae_title,
            address=caller.address,
            tls_version=_version(caller.connection),
            certificate_subject=(
                subject_of(caller.connection) if caller.connection is not None else ""
            ),
            identity=identity_of(caller.user_information),
        )
        rejection = admission.enter(known)
        if rejection is None:
            admission.leave(known)
            return None
        log.warning(
            "association rejected",
            extra={"peer": caller.address, "reason": rejection.reason},
        )
        return rejection.result, rejection.source, rejection.diagnostic

    return admit


def _version(connection: ssl.SSLSocket | None) -> str:
    return (connection.version() or "") if connection is not None else ""


def _advise(
    database: Database, keys: PatientKeys
) -> Callable[[OrderKey], Advice | None]:
    clock = SystemClock()

    def advise(order: OrderKey) -> Advice | None:
        try:
            found = db.orders.suggestion_for(
                database,
                study_instance_uid=order.study_instance_uid,
                accession_number=order.accession_number,
                patient=keys.of_id(order.patient_id),
                now=clock.now(),
            )
        except DatabaseError as error:
            log.warning("worklist not enriched", extra={"error": type(error).__name__})
            return None
        if found is None:
            return None
        return Advice(
            urgency=found.suggestion.urgency,
            reason=found.suggestion.reason,
            model=found.model,
            model_version=found.model_version,
        )

    return advise
