"""The tables of delivery's proof, of the worklist and of the page."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from db.columns import (
    AE_LENGTH,
    NAME_LENGTH,
    STATE_LENGTH,
    Identifier,
    Text,
    UTCDateTime,
)
from db.tables import metadata as metadata

# Keyed digests of Patient ID and name: a whole one can be searched, none be read.
patient_keys = Table(
    "patient_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("kind", String(STATE_LENGTH), nullable=False),
    Column("digest", Identifier(64), nullable=False, index=True),
    UniqueConstraint("study_id", "kind", "digest"),
)

# One row a Storage Commitment transaction: `claim` is that of the delivery's claim
# which asked, so that a late answer settles nothing that was sent again since.
commitments = Table(
    "commitments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", Identifier(), nullable=False, unique=True),
    Column("delivery_id", ForeignKey("deliveries.id"), nullable=False, index=True),
    Column("claim", Integer, nullable=False),
    Column("requested_at", UTCDateTime(), nullable=False),
    Column("answered_at", UTCDateTime()),
    Column("committed", Boolean),
    Column("failure_reason", Integer),
)

# The circuit breaker: nothing is claimed for a destination before `open_until`.
destination_states = Table(
    "destination_states",
    metadata,
    Column("destination", Text(NAME_LENGTH), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("open_until", UTCDateTime()),
    Column("failed_at", UTCDateTime()),
    Column("succeeded_at", UTCDateTime()),
    Column("reason", Text()),
)

# What the node suggests to the reading list; written with the result.
suggestions = Table(
    "suggestions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, unique=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False, index=True),
    Column("priority", String(STATE_LENGTH), nullable=False),
    Column("reason", Text(), nullable=False),
    Column("model", Text(NAME_LENGTH), nullable=False),
    Column("model_version", Text(NAME_LENGTH), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime()),
    Column("withdrawn_at", UTCDateTime()),
)

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text(NAME_LENGTH), nullable=False, unique=True),
    Column("role", String(STATE_LENGTH), nullable=False),
    Column("sees_names", Boolean, nullable=False),
    Column("password_hash", Text(), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("disabled_at", UTCDateTime()),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text(NAME_LENGTH), nullable=False, unique=True),
    Column("role", String(STATE_LENGTH), nullable=False),
    Column("sees_names", Boolean, nullable=False),
    Column("digest", Identifier(64), nullable=False, unique=True),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime()),
    Column("used_at", UTCDateTime()),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", Identifier(64), nullable=False, unique=True),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime(), nullable=False),
)

# Who looked at what and who changed what.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UTCDateTime(), nullable=False, index=True),
    Column("who", Text(NAME_LENGTH), nullable=False),
    Column("action", Text(NAME_LENGTH), nullable=False),
    Column("study_id", Integer),
    Column("detail", Text(), nullable=False),
)

# Instances that were refused, the latest of them: why an image is not here.
refusals = Table(
    "refusals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UTCDateTime(), nullable=False),
    Column("calling_ae_title", Text(AE_LENGTH), nullable=False, index=True),
    Column("called_ae_title", Text(AE_LENGTH), nullable=False),
    Column("peer_address", Text(AE_LENGTH), nullable=False),
    Column("sop_class_uid", Identifier(), nullable=False),
    Column("transfer_syntax_uid", Identifier(), nullable=False),
    Column("sop_instance_uid", Identifier(), nullable=False, index=True),
    Column("study_instance_uid", Identifier(), nullable=False, index=True),
    Column("accession_number", Text(NAME_LENGTH), nullable=False, index=True),
    Column("status", Integer, nullable=False),
    Column("reason", Text(), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

# Failed logins by account, by address and by both, as digests.
login_failures = Table(
    "login_failures",
    metadata,
    Column("key", Identifier(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("at", UTCDateTime(), nullable=False, index=True),
)
