"""Every setting of the node: frozen, checked, unknown keys refused."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, model_validator

from config.agree import disagreements
from config.agree import is_loopback as is_loopback
from config.destinations import DestinationTable as DestinationTable
from config.peers import PeerTable as PeerTable
from config.retention import RetentionTable
from config.routes import RouteTable as RouteTable
from config.routes import WhenTable as WhenTable
from config.table import AETitle, Table, TextList
from config.web import WebTable as WebTable
from config.worklist import WorklistTable
from dicom_node.core.quiet import QuietTimes


class NodeTable(Table):
    """Who the node is and where it listens and keeps its files."""

    ae_title: AETitle = "AINODE"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    plain: bool = True  # False: only the port of [tls] listens
    data_dir: Path = Path("data")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class DatabaseTable(Table):
    """Where the database is: SQLite or PostgreSQL, as a SQLAlchemy URL."""

    url: str = ""  # "" means sqlite:///<data_dir>/node.db


class ReceiveTable(Table):
    """How the C-STORE SCP keeps its promise, and its limits.

    Args:
        processes: receivers on one port; 0 is two (one on a single core), or one
            per four cores if that is more.
        durability: what 0x0000 survives. "power-loss" syncs files and commits;
            "process-crash" leaves both to the operating system.
        commit_max_wait_ms: how long an instance waits for others to share its commit.
        database_wait_seconds: how long a sender waits for a database that is busy or
            gone before it hears 0xA700.
        congestion_seconds: new associations are rejected as "temporary congestion"
            when disk or database were short for so long.
        min_bytes_per_second: a slower sender loses its association.
        max_element_bytes: of one element that is not Pixel Data.
    """

    processes: Annotated[int, Field(ge=0, le=64)] = 0
    durability: Literal["power-loss", "process-crash"] = "power-loss"
    commit_max_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 2.0
    database_wait_seconds: Annotated[float, Field(gt=0)] = 10.0
    congestion_seconds: Annotated[float, Field(ge=0)] = 30.0
    min_bytes_per_second: Annotated[int, Field(ge=1)] = 8192
    max_element_bytes: Annotated[int, Field(ge=1 << 16)] = 1 << 30
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 64
    max_associations_per_peer: Annotated[int, Field(ge=1, le=1000)] = 32
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 24)] = 131072
    max_instance_bytes: Annotated[int, Field(ge=1 << 16)] = 4 << 30
    max_inflated_bytes: Annotated[int, Field(ge=1 << 16)] = 2 << 30
    max_sequence_depth: Annotated[int, Field(ge=4, le=200)] = 32
    min_free_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    acse_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    dimse_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    network_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0


class TLSTable(Table):
    """DICOM TLS (PS3.15 B.12): the port that listens, and who the node is there.

    The files are read again when they change; a broken one leaves the last good one.

    Args:
        port: 2762 by convention; 0 is any free one; without it nothing listens.
        ca: the certificates that the callers' must be signed by.
        client_certificate: "none" lets in callers without one.
    """

    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    client_certificate: Literal["required", "none"] = "required"


class CalledTable(Table):
    """A further AE title of the node, with its own settings.

    Args:
        quiet_seconds: instead of study.quiet_seconds.
        sop_classes: what is accepted, UIDs or names; all storage classes if empty.
        destinations: where the results of what comes in here go, instead of those of
            the route.
    """

    ae_title: AETitle
    quiet_seconds: Annotated[float, Field(gt=0)] | None = None
    sop_classes: TextList = ()
    destinations: TextList | None = None


class StudyTable(Table):
    """When a study is complete."""

    quiet_seconds: Annotated[float, Field(gt=0)] = 10.0
    limit_seconds: Annotated[float, Field(gt=0)] = 3600.0


class WorkTable(Table):
    """How jobs and deliveries are worked on.

    Args:
        poll_seconds: how long a role waits for work when nothing wakes it.
        jobs_at_once: studies that one worker has in hand, to fill its batches.
        starve_seconds: jobs that have waited for longer get every fourth turn,
            whatever their priority.
        breaker_failures: in a row, until a destination is left alone for a time that
            doubles from breaker_first_seconds to breaker_longest_seconds.
    """

    poll_seconds: Annotated[float, Field(gt=0)] = 0.25
    jobs_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    starve_seconds: Annotated[float, Field(gt=0)] = 600.0
    job_attempts: Annotated[int, Field(ge=1)] = 3
    lease_seconds: Annotated[float, Field(ge=1)] = 20.0
    retry_first_seconds: Annotated[float, Field(gt=0)] = 5.0
    retry_longest_seconds: Annotated[float, Field(gt=0)] = 900.0
    give_up_after_hours: Annotated[float, Field(gt=0)] = 72.0
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    breaker_first_seconds: Annotated[float, Field(gt=0)] = 15.0
    breaker_longest_seconds: Annotated[float, Field(gt=0)] = 300.0
    drain_seconds: Annotated[float, Field(gt=0)] = 30.0


class ModelsTable(Table):
    """Where further bundles lie and what they run on.

    Args:
        python_classes: globs of dotted paths that a card may name as its network's
            class; they run as code of the node, so none may by default.
        engine: "auto" is eager on CUDA; on the CPU what `models bench --keep` found
            to be the fastest, else eager.
        precision: "auto" is half precision on CUDA and full on the CPU. One whose
            scores differ too much is not used.
        max_batch_size: images of all studies in one batch; 0 leaves it to the card,
            whose own limit always holds.
        max_wait_ms: how long a frame waits for others to share its batch.
        memory_budget_bytes: of decoded frames and prepared images in flight.
        workers: processes that infer; 0 is one per CUDA device, one on the CPU.
        max_frame_bytes: of one decoded frame, at least four bytes a sample; an image
            above this or the next two limits is not evaluated, and the report says so.
        max_image_bytes: of all frames of one image, decoded.
        max_inflated_bytes: of a deflated data set.
        max_decode_seconds: for reading and decoding the chosen frames of one image.
        max_frame_seconds: for one frame; a decoder that takes longer is ended with
            its process, and the image is not evaluated.
    """

    folder: Path | None = None
    python_classes: TextList = ()
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    threads: Annotated[int, Field(ge=0)] = 0  # 0: all cores, shared by the workers
    engine: Literal["auto", "eager", "compile", "openvino"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    max_batch_size: Annotated[int, Field(ge=0, le=4096)] = 0
    max_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = 50.0
    memory_budget_bytes: Annotated[int, Field(ge=1 << 24)] = 512 << 20
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    max_frame_bytes: Annotated[int, Field(ge=1 << 20)] = 512 << 20
    max_image_bytes: Annotated[int, Field(ge=1 << 20)] = 16 << 30
    max_inflated_bytes: Annotated[int, Field(ge=1 << 20)] = 512 << 20
    max_decode_seconds: Annotated[float, Field(gt=0)] = 120.0
    max_frame_seconds: Annotated[float, Field(ge=1)] = 60.0


class Settings(Table):
    """The whole configuration."""

    node: NodeTable = NodeTable()
    database: DatabaseTable = DatabaseTable()
    receive: ReceiveTable = ReceiveTable()
    tls: TLSTable = TLSTable()
    called: tuple[CalledTable, ...] = ()
    study: StudyTable = StudyTable()
    work: WorkTable = WorkTable()
    models: ModelsTable = ModelsTable()
    worklist: WorklistTable = WorklistTable()
    retention: RetentionTable = RetentionTable()
    web: WebTable = WebTable()
    peers: tuple[PeerTable, ...] = ()
    destinations: tuple[DestinationTable, ...] = ()
    routes: tuple[RouteTable, ...] = ()

    @property
    def loopback_only(self) -> bool:
        """Whether the node listens on loopback alone."""
        return is_loopback(self.node.host)

    @property
    def instances_dir(self) -> Path:
        """Where received instances lie."""
        return self.node.data_dir / "instances"

    @property
    def reports_dir(self) -> Path:
        """Where written reports lie."""
        return self.node.data_dir / "reports"

    @property
    def patient_key_file(self) -> Path:
        """What the digests of patients' IDs and names are keyed with."""
        return self.node.data_dir / "patient.key"

    @property
    def engines_file(self) -> Path:
        """What `models bench --keep` found to be the fastest here."""
        return self.node.data_dir / "engines.json"

    @property
    def batches_file(self) -> Path:
        """What loading models found out about their batches here."""
        return self.node.data_dir / "batches.json"

    @property
    def quiet_times(self) -> QuietTimes:
        """How long nothing may come until a study is complete."""
        return QuietTimes(
            quiet_seconds=self.study.quiet_seconds,
            limit_seconds=self.study.limit_seconds,
            called={
                table.ae_title: table.quiet_seconds
                for table in self.called
                if table.quiet_seconds is not None
            },
        )

    @property
    def guard_dir(self) -> Path:
        """Where workers note what they decode, and which images they must not."""
        return self.node.data_dir / "run" / "guard"

    @property
    def bells_dir(self) -> Path:
        """Where the roles wake one another."""
        return self.node.data_dir / "run" / "bells"

    @property
    def metrics_dir(self) -> Path:
        """Where the running processes keep what they count."""
        return self.node.data_dir / "run" / "metrics"

    @model_validator(mode="after")
    def _agree(self, info: ValidationInfo) -> "Settings":
        unsound = (info.context or {}).get("unsound", ())
        if faults := disagreements(self, unsound):
            raise ValueError("; ".join(faults))
        return self
