"""Values as JSON documents and back; what an older version wrote still reads."""

import contextlib
import math
import re
from dataclasses import asdict, fields
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from db.columns import JSON_TEXT_LENGTH, MAX_ITEMS, clean_json, to_json
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.provenance import InputDigest, Machinery, Provenance
from dicom_node.core.states import Outcome
from dicom_node.core.types import (
    CodedConcept,
    Finding,
    ImageResult,
    Prediction,
    RefusedContext,
    RoutingHeader,
    Verdict,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_HEADER_NAMES: Final = tuple(item.name for item in fields(RoutingHeader))
_HEADER_DEFAULTS: Final = {item.name: item.default for item in fields(RoutingHeader)}
_SERIES_NAMES: Final = tuple(n for n in _HEADER_NAMES if n != "instance_number")
_CONCEPTS: Final = ("concept", "site", "unit", "laterality", "view")
_header_values = attrgetter(*_HEADER_NAMES)
_series_values = attrgetter(*_SERIES_NAMES)
# JSON's escapes of NUL and of surrogates: what no column keeps as it is.
_TO_CLEAN: Final = re.compile(r"\\u(?:0000|d[89a-f])")


def encode_header(header: RoutingHeader) -> dict[str, Any]:
    """Return the header as a document; an age that is no number is missing."""
    document = _differing(_HEADER_NAMES, _header_values(header))
    age = header.patient_age_years
    if age is not None and not math.isfinite(age):
        document.pop("patient_age_years", None)
    if "image_type" in document:
        document["image_type"] = list(header.image_type[:MAX_ITEMS])
    return document


def header_text(header: RoutingHeader) -> str:
    """Return the header as the JSON text that a `Document` column would keep."""
    text = _series_text(_series_values(header))
    number = header.instance_number
    if text is None:
        return to_json(clean_json(encode_header(header)))
    if number is None:
        return text
    return f'{text[:-1]}{"," if len(text) > 2 else ""}"instance_number":{number}}}'


@lru_cache(maxsize=256)  # the images of a series differ in their number alone
def _series_text(values: tuple[Any, ...]) -> str | None:
    """Return what the headers of a series have alike; None if a text is not clean."""
    document = _differing(_SERIES_NAMES, values)
    if len(document.get("image_type", ())) > MAX_ITEMS:
        return None
    with contextlib.suppress(ValueError):
        text = to_json(document)
        if len(text) <= JSON_TEXT_LENGTH and not _TO_CLEAN.search(text):
            return text
    return None


def _differing(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    """Return what is not as in an empty header; the rest is known without it."""
    return {
        name: value
        for name, value in zip(names, values, strict=True)
        if value != _HEADER_DEFAULTS[name]
    }


def decode_header(document: dict[str, Any]) -> RoutingHeader:
    """Return the header."""
    known = _known(RoutingHeader, document)
    known["image_type"] = tuple(document.get("image_type", ()))
    return RoutingHeader(**known)


def encode_prediction(prediction: Prediction) -> dict[str, Any]:
    """Return the prediction as a document."""
    document = asdict(prediction)
    document["started_at"] = prediction.started_at.isoformat()
    document["finished_at"] = prediction.finished_at.isoformat()
    return document


def decode_prediction(document: dict[str, Any]) -> Prediction:
    """Return the prediction."""
    known = _known(Prediction, document)
    known["outcome"] = Outcome(document["outcome"])
    known["findings"] = tuple(_decode_finding(item) for item in document["findings"])
    known["images"] = tuple(_decode_image(item) for item in document["images"])
    known["parameters"] = tuple((key, value) for key, value in document["parameters"])
    for name in ("started_at", "finished_at"):
        known[name] = datetime.fromisoformat(document[name])
    made_with = document.get("provenance")
    known["provenance"] = _decode_provenance(made_with) if made_with else None
    return Prediction(**known)


def _known(kind: "type[DataclassInstance]", document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that this version knows; a newer one may have written more."""
    names = {item.name for item in fields(kind)}
    return {name: value for name, value in document.items() if name in names}


def _decode_provenance(document: dict[str, Any]) -> Provenance:
    known = _known(Provenance, document)
    known["settings"] = tuple((key, value) for key, value in document["settings"])
    known["inputs"] = tuple(
        InputDigest(
            sop_instance_uid=SOPInstanceUID(item["sop_instance_uid"]),
            dataset_digest=item["dataset_digest"],
        )
        for item in document["inputs"]
    )
    machinery = _known(Machinery, document["machinery"])
    machinery["libraries"] = tuple(
        (name, version) for name, version in machinery["libraries"]
    )
    known["machinery"] = Machinery(**machinery)
    return Provenance(**known)


def _decode_finding(document: dict[str, Any]) -> Finding:
    known = _known(Finding, document)
    known["images"] = tuple(document.get("images", ()))
    for name in _CONCEPTS:
        if known.get(name) is not None:
            known[name] = CodedConcept(**known[name])
    return Finding(**known)


def _decode_image(document: dict[str, Any]) -> ImageResult:
    known = _known(ImageResult, document)
    known["frames"] = tuple(document["frames"])
    known["scores"] = tuple(document["scores"])
    known["peaks"] = tuple(document.get("peaks", ()))
    return ImageResult(**known)


def encode_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict as a document."""
    return asdict(verdict)


def decode_verdict(document: dict[str, Any]) -> Verdict:
    """Return the verdict."""
    return Verdict(**document)


def encode_context(context: RefusedContext) -> dict[str, Any]:
    """Return the refused context as a document."""
    return {
        "sop_class_uid": context.sop_class_uid,
        "transfer_syntax_uids": list(context.transfer_syntax_uids[:MAX_ITEMS]),
        "reason": context.reason,
    }


def decode_context(document: dict[str, Any]) -> RefusedContext:
    """Return the refused context."""
    return RefusedContext(
        sop_class_uid=document["sop_class_uid"],
        transfer_syntax_uids=tuple(document["transfer_syntax_uids"]),
        reason=document["reason"],
    )
