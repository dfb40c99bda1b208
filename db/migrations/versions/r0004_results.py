"""Several objects and messages of a result; proof of delivery; who may look."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EMPTY = ""
_SR = "sr"
_STATE = 16
_UID = 128
_NAME = 256
_TEXT = 1024


def upgrade() -> None:
    """Add what delivery, the worklist and the page keep."""
    _reports()
    _deliveries()
    _studies()
    _commitments()
    _worklist()
    _people()


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False, server_default=_EMPTY)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _reports() -> None:
    with op.batch_alter_table("reports") as table:
        table.add_column(
            sa.Column("kind", sa.String(_STATE), nullable=False, server_default=_SR)
        )
        table.add_column(_text("destination", _NAME))
        table.drop_constraint("uq_reports_job_id_sop_class_uid", type_="unique")
        table.create_unique_constraint(
            "uq_reports_job_id_kind_destination_sop_class_uid",
            ["job_id", "kind", "destination", "sop_class_uid"],
        )


def _deliveries() -> None:
    with op.batch_alter_table("deliveries") as table:
        table.add_column(
            sa.Column("kind", sa.String(_STATE), nullable=False, server_default=_SR)
        )
        table.add_column(_text("stage", _STATE))
        table.add_column(sa.Column("proof", sa.String(_STATE), nullable=True))
        table.add_column(_time("sent_at"))
        table.drop_constraint("uq_deliveries_job_id_destination", type_="unique")
        table.create_unique_constraint(
            "uq_deliveries_job_id_destination_kind", ["job_id", "destination", "kind"]
        )
    # What was delivered before carries the proof of its time.
    op.execute(sa.text("UPDATE deliveries SET proof = 'sent' WHERE state = 'DONE'"))


def _studies() -> None:
    op.add_column("studies", _time("pruned_at"))
    op.create_table(
        "patient_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(_STATE), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_patient_keys_study_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_patient_keys"),
        sa.UniqueConstraint(
            "study_id", "kind", "digest", name="uq_patient_keys_study_id_kind_digest"
        ),
    )
    op.create_index("ix_patient_keys_digest", "patient_keys", ["digest"])


def _commitments() -> None:
    op.create_table(
        "commitments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transaction_uid", sa.String(_UID), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("claim", sa.Integer(), nullable=False),
        _time("requested_at", nullable=False),
        _time("answered_at"),
        sa.Column("committed", sa.Boolean(), nullable=True),
        sa.Column("failure_reason", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_commitments_delivery_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_commitments"),
        sa.UniqueConstraint("transaction_uid", name="uq_commitments_transaction_uid"),
    )
    op.create_index("ix_commitments_delivery_id", "commitments", ["delivery_id"])
    op.create_table(
        "destination_states",
        sa.Column("destination", sa.String(_NAME), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        _time("open_until"),
        _time("failed_at"),
        _time("succeeded_at"),
        sa.Column("reason", sa.String(_TEXT), nullable=True),
        sa.PrimaryKeyConstraint("destination", name="pk_destination_states"),
    )


def _worklist() -> None:
    op.create_table(
        "suggestions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("priority", sa.String(_STATE), nullable=False),
        sa.Column("reason", sa.String(_TEXT), nullable=False),
        sa.Column("model", sa.String(_NAME), nullable=False),
        sa.Column("model_version", sa.String(_NAME), nullable=False),
        _time("created_at", nullable=False),
        _time("expires_at"),
        _time("withdrawn_at"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_suggestions_job_id"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_suggestions_study_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_suggestions"),
        sa.UniqueConstraint("job_id", name="uq_suggestions_job_id"),
    )
    op.create_index("ix_suggestions_study_id", "suggestions", ["study_id"])


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(_NAME), nullable=False),
        sa.Column("role", sa.String(_STATE), nullable=False),
        sa.Column("sees_names", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(_TEXT), nullable=False),
        _time("created_at", nullable=False),
        _time("disabled_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(_NAME), nullable=False),
        sa.Column("role", sa.String(_STATE), nullable=False),
        sa.Column("sees_names", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        _time("created_at", nullable=False),
        _time("expires_at"),
        _time("used_at"),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("name", name="uq_api_tokens_name"),
        sa.UniqueConstraint("digest", name="uq_api_tokens_digest"),
    )
    op.create_table(
        "web_sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        _time("created_at", nullable=False),
        _time("expires_at", nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_web_sessions_user_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_web_sessions"),
        sa.UniqueConstraint("digest", name="uq_web_sessions_digest"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        _time("at", nullable=False),
        sa.Column("who", sa.String(_NAME), nullable=False),
        sa.Column("action", sa.String(_NAME), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(_TEXT), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
