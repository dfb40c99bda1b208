"""One digest of a data set, made while it arrives; called AE titles; TLS.

A version received before has the SHA-256 of its data set as its digest: 64 digits
instead of 32, so that nobody takes one for the other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_EMPTY = ""


def upgrade() -> None:
    """Change the tables that a receiver writes."""
    _versions()
    _studies()
    _associations()
    _work()


def _versions() -> None:
    # One key says which version is current and finds all of an instance: TRUE once,
    # NULL as often as needed.
    op.drop_index("uq_versions_current", table_name="versions")
    with op.batch_alter_table("versions") as table:
        table.drop_constraint("uq_versions_instance_id_dataset_sha256", type_="unique")
        table.drop_column("pixel_sha256")
        table.alter_column("dataset_sha256", new_column_name="dataset_digest")
        table.alter_column("current", existing_type=sa.Boolean(), nullable=True)
    op.execute(sa.text('UPDATE versions SET "current" = NULL WHERE NOT "current"'))
    with op.batch_alter_table("versions") as table:
        table.create_unique_constraint(
            "uq_versions_instance_id_current", ["instance_id", "current"]
        )


def _studies() -> None:
    op.add_column(
        "studies",
        sa.Column(
            "called_ae_title",
            sa.String(length=64),
            nullable=False,
            server_default=_EMPTY,
        ),
    )
    # An instance moves last_instance_at: an index that holds it changes every time.
    op.drop_index("ix_studies_receiving", table_name="studies")
    op.create_index(
        "ix_studies_receiving",
        "studies",
        ["id"],
        sqlite_where=sa.text("state = 'RECEIVING'"),
        postgresql_where=sa.text("state = 'RECEIVING'"),
    )


def _associations() -> None:
    for name, length in (("tls_version", 16), ("certificate_subject", 1024)):
        op.add_column(
            "associations",
            sa.Column(
                name,
                sa.String(length=length),
                nullable=False,
                server_default=_EMPTY,
            ),
        )


def _work() -> None:
    # A monitor counts by state: without an index it would read every row.
    for name in ("jobs", "deliveries"):
        op.create_index(f"ix_{name}_state", name, ["state", "queued_at"])
