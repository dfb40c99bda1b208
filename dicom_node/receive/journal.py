"""Tell what came of an association: to the log and to whoever keeps records."""

import logging
from collections.abc import Callable
from typing import Any

from dicom_node.core.types import AssociationRecord

log = logging.getLogger("dicom_node.receive")


def tell(
    record: AssociationRecord, on_association: Callable[[AssociationRecord], None]
) -> None:
    """Log an association that is over, with all that was refused, and hand it on."""
    for context in record.refused_contexts:
        log.warning(
            "presentation context refused",
            extra={
                "ae": record.calling_ae_title,
                "peer": record.peer_address,
                "sop_class": context.sop_class_uid,
                "transfer_syntax": ",".join(context.transfer_syntax_uids),
                "reason": context.reason,
            },
        )
    extra: dict[str, object] = {
        "ae": record.calling_ae_title,
        "called_ae": record.called_ae_title,
        "peer": record.peer_address,
        "reason": record.reason,
        "instances": record.instances,
        "refused": record.refused_instances,
        "size_bytes": record.size_bytes,
        "seconds": record.seconds,
    }
    if record.accepted:
        log.info("association ended", extra=extra)
    else:
        log.warning("association rejected", extra=extra)
    try:
        on_association(record)
    except Exception as error:  # noqa: BLE001 - a record lost must not stop receiving
        log.error("association not recorded", extra={"reason": type(error).__name__})


def bounded_ae_title(value: Any) -> str:
    """Bound what a peer calls itself: it goes into logs and the database."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c for c in text if " " <= c <= "~")[:16].strip()
