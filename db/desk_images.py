"""The images of a study as its page shows them."""

from dataclasses import dataclass

from sqlalchemy import select

from db.codec import decode_header
from db.engine import Database
from db.tables import instances, versions
from dicom_node.core.ids import StudyId
from dicom_node.core.types import RoutingHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLine:
    """What inference reads of one instance with pixels."""

    sop_instance_uid: str
    series_instance_uid: str
    file_key: str
    header: RoutingHeader


def images_of(database: Database, study_id: StudyId) -> tuple[ImageLine, ...]:
    """Return the images that are no results of this node, by series and number."""
    query = (
        select(
            instances.c.sop_instance_uid,
            versions.c.series_instance_uid,
            versions.c.file_key,
            versions.c.header,
        )
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(
            instances.c.study_id == study_id,
            ~instances.c.own_result,
            versions.c.current,
        )
        .order_by(versions.c.id)
    )
    with database.read() as connection:
        lines = [
            ImageLine(
                sop_instance_uid=row.sop_instance_uid,
                series_instance_uid=row.series_instance_uid,
                file_key=row.file_key,
                header=decode_header(row.header),
            )
            for row in connection.execute(query)
        ]
    return tuple(sorted((line for line in lines if line.header.has_pixels), key=_place))


def _place(line: ImageLine) -> tuple[int, str, int]:
    header = line.header
    series = 1 << 31 if header.series_number is None else header.series_number
    number = 1 << 31 if header.instance_number is None else header.instance_number
    return series, line.series_instance_uid, number
