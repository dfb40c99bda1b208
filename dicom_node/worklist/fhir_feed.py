"""Results as FHIR resources to be read: the same that are sent, under our own ids."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import db.desk
import db.desk_results
from db.desk_results import CurrentResult
from db.engine import Database
from dicom_node.core.errors import ReportError, StoreError
from dicom_node.core.ids import SOPClassUID, SOPInstanceUID, StudyId
from dicom_node.core.types import InputFile, RoutingHeader
from dicom_node.worklist.fhir_case import Case, Standing, Target, standing_of
from dicom_node.worklist.fhir_observation import observe, withdraw
from dicom_node.worklist.fhir_resources import logical_subject, resources
from dicom_node.worklist.fhir_values import JSON, instant, text, withheld
from dicom_node.worklist.order import Order, read_order

_UNKNOWN: Final = SOPInstanceUID("")


def tell_study(
    database: Database,
    results: Sequence[CurrentResult],
    *,
    instance_path: Callable[[str], Path],
    names: bool,
) -> tuple[JSON, ...]:
    """Return what the models say of one study.

    A study whose files are gone is told by what the database holds.

    Args:
        names: whether the reader may see whose study it is.
    """
    told: dict[object, JSON] = {}
    for result in results:
        order = _read_order(database, result, instance_path)
        for target, made in _told(result, _case(result, order, names=names)):
            meta = made.get("meta")
            made["id"] = _id(result.study_id, target)
            made["meta"] = {
                **(meta if isinstance(meta, dict) else {}),
                "versionId": str(result.left_out_in or result.revision),
                "lastUpdated": instant(result.left_out_at or result.concluded_at),
            }
            before = told.get(made["id"])
            if before is None or _updated(before) < _updated(made):
                told[made["id"]] = made
    return tuple(told.values())


def _told(result: CurrentResult, case: Case) -> Iterator[tuple[Target, JSON]]:
    """Return the resources; what was told once and holds no more is taken back."""
    now = case
    if result.left_out and case.standing is Standing.HOLDS:
        now = replace(case, standing=Standing.WITHDRAWN)
    yield from resources(now)
    said = {target for target, _ in now.observations}
    for prediction in (*result.earlier, result.prediction):
        before = replace(case, prediction=prediction, standing=Standing.HOLDS)
        for target, finding in before.observations:
            if target not in said:
                said.add(target)
                yield target, withdraw(now, observe(before, target, finding))


def _case(result: CurrentResult, order: Order, *, names: bool) -> Case:
    subject = withheld("masked")
    if names:
        subject = logical_subject(order, {})
        if name := text(order.patient_name.partition("=")[0].replace("^", " ")):
            subject["display"] = name
    return Case(
        order=order,
        prediction=result.prediction,
        model=result.model,
        standing=standing_of(result.prediction, withdraws=bool(result.earlier)),
        subject=subject,
        link=lambda target: f"{target.kind}/{_id(result.study_id, target)}",
        suggestion=result.suggestion if result.holds else None,
        told_task=result.suggestion is not None,
    )


def _read_order(
    database: Database, result: CurrentResult, instance_path: Callable[[str], Path]
) -> Order:
    for key in _keys(database, result):
        try:
            file = InputFile(
                sop_instance_uid=_UNKNOWN,
                sop_class_uid=SOPClassUID(""),
                path=instance_path(key),
                header=RoutingHeader(),
            )
            return read_order([file], result.prediction)
        except (ReportError, StoreError):
            break
    return Order(
        study_instance_uid=result.study_instance_uid,
        accession_number=result.accession_number,
    )


def _keys(database: Database, result: CurrentResult) -> tuple[str, ...]:
    """Return the file of the first image that was evaluated, else of any."""
    for image in result.prediction.evaluated[:1]:
        key = db.desk_results.file_of(database, image.sop_instance_uid)
        if key is not None:
            return (key,)
    found = db.desk.first_files(database, [result.study_id])
    return tuple(found.values())


def _id(study_id: StudyId, target: Target) -> str:
    """Return the id of a resource, which tells its study."""
    return f"{study_id}-{target.uuid}"


def _updated(made: JSON) -> str:
    meta = made["meta"]
    return str(meta["lastUpdated"]) if isinstance(meta, dict) else ""
