"""Why an image is not here; failed logins that a restart does not forget."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_AE = 64
_UID = 128
_NAME = 256
_TEXT = 1024
_INDEXED = (
    "calling_ae_title", "sop_instance_uid", "study_instance_uid", "accession_number"
)  # fmt: skip


def upgrade() -> None:
    """Add refused instances and counts of failed logins."""
    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _text("calling_ae_title", _AE),
        _text("called_ae_title", _AE),
        _text("peer_address", _AE),
        _text("sop_class_uid", _UID),
        _text("transfer_syntax_uid", _UID),
        _text("sop_instance_uid", _UID),
        _text("study_instance_uid", _UID),
        _text("accession_number", _NAME),
        sa.Column("status", sa.Integer(), nullable=False),
        _text("reason", _TEXT),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refusals"),
    )
    for column in _INDEXED:
        op.create_index(f"ix_refusals_{column}", "refusals", [column])
    op.create_table(
        "login_failures",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_failures"),
    )
    op.create_index("ix_login_failures_at", "login_failures", ["at"])


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)
