"""Every table. A change here needs a migration; a test compares the two."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from db.columns import (
    AE_LENGTH,
    NAME_LENGTH,
    STATE_LENGTH,
    Document,
    Identifier,
    Text,
    UTCDateTime,
)
from dicom_node.core.states import Receipt, StudyState, WorkState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


# The conditions of the partial indexes: queries repeat them word for word, since
# neither engine proves them from bound parameters.
STUDY_OPEN = text("state = 'RECEIVING'")
WORK_OPEN = text("state IN ('QUEUED', 'RUNNING')")


def _one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    names = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({names})", name=column)


studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", Identifier(), nullable=False, unique=True),
    Column("accession_number", Text(NAME_LENGTH), nullable=False, index=True),
    Column("state", String(STATE_LENGTH), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("revision_started_at", UTCDateTime(), nullable=False),
    Column("first_instance_at", UTCDateTime(), nullable=False),
    Column("last_instance_at", UTCDateTime(), nullable=False),
    Column("ignored_because", Text()),
    Column("called_ae_title", Text(AE_LENGTH), nullable=False, server_default=""),
    Column("pruned_at", UTCDateTime()),  # its files are gone, its story is not
    _one_of("state", StudyState),
    Index(
        "ix_studies_receiving",
        "id",
        sqlite_where=STUDY_OPEN,
        postgresql_where=STUDY_OPEN,
    ),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False, index=True),
    Column("sop_instance_uid", Identifier(), nullable=False, unique=True),
    Column("revision", Integer, nullable=False),
    Column("own_result", Boolean, nullable=False),
    Column("received_at", UTCDateTime(), nullable=False),
)

# Every set of bytes that came under a SOP Instance UID; one of them is current.
versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False),
    Column("receipt", String(STATE_LENGTH), nullable=False),
    # TRUE or NULL, never FALSE: to the unique key below, NULLs differ.
    Column("current", Boolean),
    Column("received_at", UTCDateTime(), nullable=False),
    Column("repeats", Integer, nullable=False),
    Column("repeated_at", UTCDateTime()),
    Column("study_instance_uid", Identifier(), nullable=False),
    Column("series_instance_uid", Identifier(), nullable=False),
    Column("sop_class_uid", Identifier(), nullable=False),
    Column("transfer_syntax_uid", Identifier(), nullable=False),
    Column("calling_ae_title", Text(AE_LENGTH), nullable=False),
    Column("called_ae_title", Text(AE_LENGTH), nullable=False),
    Column("peer_address", Text(AE_LENGTH), nullable=False),
    Column("file_key", Identifier(NAME_LENGTH), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("dataset_digest", Identifier(64), nullable=False),
    Column("header", Document(), nullable=False),
    _one_of("receipt", Receipt),
    UniqueConstraint("instance_id", "current"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("decided_at", UTCDateTime(), nullable=False),
    Column("state", String(STATE_LENGTH), nullable=False),
    Column("ignored_because", Text()),
    Column("verdicts", Document(), nullable=False),
    _one_of("state", StudyState),
    UniqueConstraint("study_id", "revision"),
)


def _work_columns() -> tuple[Column[object] | CheckConstraint, ...]:
    """Return what decides about work; nothing else does.

    `attempt` counts since the work was queued, `claims` over its whole life: it
    is the fencing token that `lease_owner` ends with.
    """
    return (
        Column("state", String(STATE_LENGTH), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("claims", Integer, nullable=False),
        Column("queued_at", UTCDateTime(), nullable=False),
        Column("not_before", UTCDateTime(), nullable=False),
        Column("lease_owner", Text(NAME_LENGTH)),
        Column("lease_until", UTCDateTime()),
        Column("settled_at", UTCDateTime()),
        Column("reason", Text()),
        _one_of("state", WorkState),
    )


def _claimable(name: str) -> Index:
    return Index(
        f"ix_{name}_claimable",
        "queued_at",
        "id",
        sqlite_where=WORK_OPEN,
        postgresql_where=WORK_OPEN,
    )


def _countable(name: str) -> Index:
    """Counts by state, and the oldest, for a monitor: no row is read."""
    return Index(f"ix_{name}_state", "state", "queued_at")


jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("model", Text(NAME_LENGTH), nullable=False),
    Column("route", Text(), nullable=False),
    Column("destinations", Document(), nullable=False),
    *_work_columns(),
    # Of core.states.Priority: the lowest number goes first.
    Column("priority", Integer, nullable=False, server_default="1"),
    UniqueConstraint("study_id", "revision", "model"),
    Index(
        "ix_jobs_next",
        "priority",
        "queued_at",
        "id",
        sqlite_where=WORK_OPEN,
        postgresql_where=WORK_OPEN,
    ),
    _claimable("jobs"),
    _countable("jobs"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("claim", Integer, nullable=False),
    Column("outcome", String(STATE_LENGTH), nullable=False),
    Column("model_version", Text(NAME_LENGTH), nullable=False),
    Column("weights_sha256", Identifier(64), nullable=False),
    Column("document", Document(), nullable=False),
    UniqueConstraint("job_id", "claim"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("prediction_id", ForeignKey("predictions.id"), nullable=False, index=True),
    Column("code", Text(NAME_LENGTH), nullable=False),
    Column("scheme", Text(NAME_LENGTH), nullable=False),
    Column("meaning", Text(), nullable=False),
    Column("present", Boolean),
    Column("probability", Float, nullable=False),
    Column("threshold", Float),
    Column("value", Float),
    Column("unit", Text()),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("sop_class_uid", Identifier(), nullable=False),
    Column("sop_instance_uid", Identifier(), nullable=False, index=True),
    Column("series_instance_uid", Identifier(), nullable=False),
    Column("file_key", Identifier(NAME_LENGTH), nullable=False),
    Column("sha256", Identifier(64), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("kind", String(STATE_LENGTH), nullable=False, server_default="sr"),
    # "" for objects that every destination may get.
    Column("destination", Text(NAME_LENGTH), nullable=False, server_default=""),
    UniqueConstraint("job_id", "kind", "destination", "sop_class_uid"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("destination", Text(NAME_LENGTH), nullable=False),
    Column("chosen", Identifier()),
    Column("status", Integer),
    *_work_columns(),
    Column("kind", String(STATE_LENGTH), nullable=False, server_default="sr"),
    Column("stage", String(STATE_LENGTH), nullable=False, server_default=""),
    Column("proof", String(STATE_LENGTH)),
    Column("sent_at", UTCDateTime()),
    UniqueConstraint("job_id", "destination", "kind"),
    _claimable("deliveries"),
    _countable("deliveries"),
)

# Every move of a job or a delivery: the lines of `dicom-node show`.
work_events = Table(
    "work_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UTCDateTime(), nullable=False),
    Column("kind", String(STATE_LENGTH), nullable=False),
    Column("work_id", Integer, nullable=False),
    Column("from_state", String(STATE_LENGTH)),
    Column("to_state", String(STATE_LENGTH), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text()),
    Column("status", Integer),
    Index("ix_work_events_work", "kind", "work_id"),
)

associations = Table(
    "associations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UTCDateTime(), nullable=False, index=True),
    Column("calling_ae_title", Text(AE_LENGTH), nullable=False, index=True),
    Column("called_ae_title", Text(AE_LENGTH), nullable=False),
    Column("peer_address", Text(AE_LENGTH), nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("reason", Text(), nullable=False),
    Column("refused_contexts", Document(), nullable=False),
    Column("instances", Integer, nullable=False),
    Column("refused_instances", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("tls_version", Text(STATE_LENGTH), nullable=False, server_default=""),
    Column("certificate_subject", Text(), nullable=False, server_default=""),
)
