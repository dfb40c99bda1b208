"""What the receiver is told by its configuration."""

from dataclasses import dataclass, field
from typing import Final

from pydicom._uid_dict import UID_dictionary

from config.settings import CalledTable, Settings
from dicom_node.core.errors import ConfigError
from dicom_node.receive.admission import Peer
from dicom_node.receive.contexts import is_storage_class
from dicom_node.receive.messages import MessageLimits
from dicom_node.receive.scan import ScanLimits
from dicom_node.receive.tls import ServerTLS
from inference.pixels.codecs import decodable_transfer_syntaxes

_NAMES: Final = {
    entry[0].casefold(): uid
    for uid, entry in UID_dictionary.items()
    if entry[1] == "SOP Class"
}


def _decodable() -> frozenset[str]:
    return frozenset(decodable_transfer_syntaxes())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveOptions:
    """How the acceptor listens and what it bears.

    Args:
        plain: whether there is a port without TLS.
        tls_port: of the port with it, if `tls` is there.
        called: further AE titles of the node.
        sop_classes: what a called AE title accepts, where that is not everything.
        durable: what is acknowledged survives a power cut, else a crash of this
            process.
        transfer_syntaxes: what the node can decode.
    """

    ae_title: str = "AINODE"
    host: str = "127.0.0.1"
    port: int = 0
    plain: bool = True
    tls: ServerTLS | None = None
    tls_port: int = 0
    called: tuple[str, ...] = ()
    sop_classes: dict[str, frozenset[str]] = field(default_factory=dict)
    peers: tuple[Peer, ...] = ()
    max_associations: int = 64
    max_associations_per_peer: int = 32
    max_pdu_bytes: int = 131072
    max_instance_bytes: int = 4 << 30
    durable: bool = True
    commit_max_wait_ms: float = 2.0
    acse_timeout_seconds: float = 10.0
    dimse_timeout_seconds: float = 60.0
    network_timeout_seconds: float = 60.0
    min_bytes_per_second: int = 8192
    scan: ScanLimits = field(default_factory=ScanLimits)
    transfer_syntaxes: frozenset[str] = field(default_factory=_decodable)

    @classmethod
    def from_settings(cls, settings: Settings) -> "ReceiveOptions":
        """Read the tables [node], [receive], [tls], [[called]] and [[peers]].

        Raises:
            ConfigError: a name or a file in them cannot be used.
        """
        node, receive, tls = settings.node, settings.receive, settings.tls
        return cls(
            ae_title=node.ae_title,
            host=node.host,
            port=node.port,
            plain=node.plain,
            tls=None if tls.port is None else ServerTLS.from_table(tls),
            tls_port=tls.port or 0,
            called=tuple(table.ae_title for table in settings.called),
            sop_classes={
                table.ae_title.strip(): sop_classes_of(table)
                for table in settings.called
                if table.sop_classes
            },
            peers=tuple(Peer.from_table(table) for table in settings.peers),
            max_associations=receive.max_associations,
            max_associations_per_peer=receive.max_associations_per_peer,
            max_pdu_bytes=receive.max_pdu_bytes,
            max_instance_bytes=receive.max_instance_bytes,
            durable=receive.durability == "power-loss",
            commit_max_wait_ms=receive.commit_max_wait_ms,
            acse_timeout_seconds=receive.acse_timeout_seconds,
            dimse_timeout_seconds=receive.dimse_timeout_seconds,
            network_timeout_seconds=receive.network_timeout_seconds,
            min_bytes_per_second=receive.min_bytes_per_second,
            scan=ScanLimits(
                max_inflated_bytes=receive.max_inflated_bytes,
                max_depth=receive.max_sequence_depth,
                max_native_bytes=receive.max_instance_bytes,
                max_element_bytes=receive.max_element_bytes,
                folder=settings.instances_dir,
                min_free_bytes=receive.min_free_bytes,
            ),
        )

    @property
    def messages(self) -> MessageLimits:
        """What a sender may take."""
        return MessageLimits(
            max_bytes=self.max_instance_bytes,
            idle_seconds=self.network_timeout_seconds,
            message_seconds=self.dimse_timeout_seconds,
            min_bytes_per_second=self.min_bytes_per_second,
        )


def sop_classes_of(table: CalledTable) -> frozenset[str]:
    """Return the UIDs of the SOP classes that a called AE title accepts.

    Raises:
        ConfigError: one is no storage class.
    """
    found = set()
    for named in table.sop_classes:
        uid = _NAMES.get(named.strip().casefold(), named.strip())
        if not uid[:1].isdigit() or not is_storage_class(uid):
            raise ConfigError(
                f"called.sop_classes: '{named}' is neither the name nor the UID of a "
                "storage SOP class (PS3.6 annex A)"
            )
        found.add(uid)
    return frozenset(found)
