"""Who called, and what was refused."""

from dataclasses import dataclass

from sqlalchemy import String, case, cast, func, insert, or_, select

from db.codec import decode_context, encode_context
from db.columns import MAX_ITEMS, AnyRow
from db.engine import Database
from db.tables import associations
from dicom_node.core.types import AssociationRecord

_COUNT_LIMIT = 2**31 - 1  # INTEGER of PostgreSQL


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over every association that is recorded.

    Args:
        instances: received over them, whatever came of each.
        refused_instances: answered with a failure.
        size_bytes: of the data sets received.
    """

    accepted: int
    rejected: int
    instances: int
    refused_instances: int
    size_bytes: int


def record(
    database: Database, association: AssociationRecord, *, durable: bool = True
) -> None:
    """Keep what became of an association.

    Args:
        durable: False leaves the sync to the operating system.
    """
    contexts = association.refused_contexts[:MAX_ITEMS]
    with database.write(durable=durable) as connection:
        connection.execute(
            insert(associations).values(
                at=association.at,
                calling_ae_title=association.calling_ae_title,
                called_ae_title=association.called_ae_title,
                peer_address=association.peer_address,
                accepted=association.accepted,
                reason=association.reason,
                refused_contexts=[encode_context(item) for item in contexts],
                instances=min(association.instances, _COUNT_LIMIT),
                refused_instances=min(association.refused_instances, _COUNT_LIMIT),
                size_bytes=association.size_bytes,
                seconds=association.seconds,
                tls_version=association.tls_version,
                certificate_subject=association.certificate_subject,
            )
        )


def recent(
    database: Database,
    *,
    limit: int = 50,
    calling_ae_title: str | None = None,
    refused: bool = False,
) -> tuple[AssociationRecord, ...]:
    """Return the latest associations, newest first.

    Args:
        refused: only those of which something was refused: the association, a
            presentation context or an instance.
    """
    query = select(associations).order_by(associations.c.id.desc()).limit(limit)
    if refused:
        query = query.where(
            or_(
                associations.c.accepted.is_(False),
                associations.c.refused_instances > 0,
                cast(associations.c.refused_contexts, String) != "[]",
            )
        )
    if calling_ae_title is not None:
        query = query.where(associations.c.calling_ae_title == calling_ae_title)
    with database.read() as connection:
        return tuple(association_of(row) for row in connection.execute(query))


def totals(database: Database) -> Totals:
    """Return the sums for metrics; reads every association."""
    table = associations.c
    sums = [
        func.coalesce(func.sum(number), 0)
        for number in (
            case((table.accepted, 1), else_=0),
            case((table.accepted, 0), else_=1),
            table.instances,
            table.refused_instances,
            table.size_bytes,
        )
    ]
    with database.read() as connection:
        found = [int(number) for number in connection.execute(select(*sums)).one()]
    accepted, rejected, received, refused, size_bytes = found
    return Totals(
        accepted=accepted,
        rejected=rejected,
        instances=received,
        refused_instances=refused,
        size_bytes=size_bytes,
    )


def association_of(row: AnyRow) -> AssociationRecord:
    """Return the association that a row holds."""
    return AssociationRecord(
        at=row.at,
        calling_ae_title=row.calling_ae_title,
        called_ae_title=row.called_ae_title,
        peer_address=row.peer_address,
        accepted=row.accepted,
        reason=row.reason,
        refused_contexts=tuple(decode_context(item) for item in row.refused_contexts),
        instances=row.instances,
        refused_instances=row.refused_instances,
        size_bytes=row.size_bytes,
        seconds=row.seconds,
        tls_version=row.tls_version,
        certificate_subject=row.certificate_subject,
    )
