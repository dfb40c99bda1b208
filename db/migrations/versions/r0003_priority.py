"""Urgent jobs first; measured values beside probabilities."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NORMAL = "1"
_OPEN = sa.text("state IN ('QUEUED', 'RUNNING')")


def upgrade() -> None:
    """Add what orders jobs, and the columns of a regression."""
    op.add_column(
        "jobs",
        sa.Column("priority", sa.Integer(), nullable=False, server_default=_NORMAL),
    )
    op.create_index(
        "ix_jobs_next",
        "jobs",
        ["priority", "queued_at", "id"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.add_column("findings", sa.Column("value", sa.Float(), nullable=True))
    op.add_column("findings", sa.Column("unit", sa.String(length=1024), nullable=True))
