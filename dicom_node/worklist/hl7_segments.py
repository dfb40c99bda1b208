"""The segments of an ORU^R01 around its observations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dicom_node.core.hl7 import CODECS
from dicom_node.core.types import CodedConcept, Prediction
from dicom_node.worklist.hl7_observations import (
    CORRECTED,
    NO_SUB_ID,
    PRELIMINARY,
    Observation,
)
from dicom_node.worklist.hl7_text import (
    SEPARATORS,
    coded,
    components,
    designator,
    entity,
    escape,
    identifier,
    moment,
    person_name,
    segment,
)
from dicom_node.worklist.order import Issuer, Order

_PROCEDURES: Final = {  # CID 100; what is not there is an imaging procedure
    "CT": CodedConcept(
        value="25045-6", scheme="LN", meaning="CT unspecified body region"
    ),
    "MR": CodedConcept(
        value="25056-3", scheme="LN", meaning="MRI unspecified body region"
    ),
    "NM": CodedConcept(
        value="49118-3", scheme="LN", meaning="NM unspecified body region"
    ),
    "PT": CodedConcept(
        value="44136-0", scheme="LN", meaning="PET unspecified body region"
    ),
}
_IMAGING: Final = CodedConcept(
    value="363679005", scheme="SCT", meaning="Imaging procedure"
)
_RESEARCH_ONLY: Final = "Research use only, not for diagnosis."
_SECONDS: Final = 6  # digits of HHMMSS
_HAS_CWE: Final = ("2.5", "2.5.1", "2.6")  # as a value of OBX-2 (HL7 table 0125)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a destination takes its messages.

    Args:
        sender, receiver: application and facility, as NAME or NAME^OID^ISO.
    """

    version: str
    charset: str
    sender: tuple[str, str]
    receiver: tuple[str, str]

    @property
    def codec(self) -> str:
        """What Python calls the character set."""
        return CODECS[self.charset]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a message says.

    Args:
        node: who says it, the node's AE title.
        corrected: an earlier message said something else of the study.
    """

    order: Order
    prediction: Prediction
    observations: tuple[Observation, ...]
    node: str
    corrected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What identifies a message, and when its result was there (None: left out)."""

    control_id: str = ""
    at: datetime | None = None

    @property
    def time(self) -> str:
        """The time as TS."""
        return "" if self.at is None else moment(self.at)


def write_segments(content: Content, form: Form, stamp: Stamp) -> list[str]:
    """Write the message's segments in their order.

    Source: HL7 v2.5.1 7.3.1 (ORU^R01), IHE RAD-128.
    """
    return [
        _header(form, stamp),
        *_patient(content.order, form),
        *_request(content, stamp),
        *_observations(content, form, stamp),
    ]


def _header(form: Form, stamp: Stamp) -> str:
    """MSH; MSH-1 is the separator, so that its fields count from 2."""
    fields = (
        SEPARATORS[1:],
        *(designator(one) for one in (*form.sender, *form.receiver)),
        stamp.time,
        "",
        "ORU^R01^ORU_R01",
        stamp.control_id,
        "P",
        form.version,
        *[""] * 5,
        form.charset,
    )
    return "MSH|" + "|".join(fields)


def _patient(order: Order, form: Form) -> Iterator[str]:
    yield segment(
        "PID",
        (1, "1"),
        (3, identifier(order.patient_id, order.patient_id_issuer, "MR")),
        (5, person_name(order.patient_name, form.codec)),
        (7, order.birth_date),
        (8, order.sex or "U"),
    )
    yield segment("PV1", (1, "1"), (2, "U"))


def _request(content: Content, stamp: Stamp) -> Iterator[str]:
    order = content.order
    placer = escape(order.placer_order_number)
    filler = entity(order.accession_number, order.accession_issuer)
    yield segment("ORC", (1, "RE"), (2, placer), (3, filler))
    yield segment(
        "OBR",
        (1, "1"),
        (2, placer),
        (3, filler),
        (4, _procedure(order)),
        (7, _study_time(order)),
        (22, stamp.time),
        (24, "RAD"),
        # Never X, which cancels the order (HL7 table 0123).
        (25, CORRECTED if content.corrected else PRELIMINARY),
    )
    notes = [_RESEARCH_ONLY] if content.prediction.research_only else []
    notes += [content.prediction.reason] if content.prediction.reason else []
    yield from _notes(notes)


def _observations(content: Content, form: Form, stamp: Stamp) -> Iterator[str]:
    made = content.prediction
    method = components("AI", escape(f"{made.model} {made.model_version}"), "L")
    device = Issuer(
        namespace=content.node,
        universal_id=made.device_uid,
        universal_id_type="ISO",
    )
    equipment = "" if form.version == "2.3.1" else entity(made.model, device)
    for place, one in enumerate(content.observations, start=1):
        yield segment(
            "OBX",
            (1, str(place)),
            (2, one.kind or ("CWE" if form.version in _HAS_CWE else "CE")),
            (3, one.concept),
            (4, one.sub_id or (NO_SUB_ID if form.version == "2.3.1" else "")),
            (5, one.value),
            (6, one.unit),
            (7, escape(one.normal)),
            (8, one.flag),
            (11, one.status),
            (14, stamp.time if one.measured else ""),
            (17, method if one.measured else ""),
            (18, equipment if one.measured else ""),
        )
        yield from _notes(one.notes)


def _notes(texts: Sequence[str]) -> Iterator[str]:
    for place, text in enumerate(texts, start=1):
        yield segment("NTE", (1, str(place)), (2, "L"), (3, escape(text)))


def _procedure(order: Order) -> str:
    known = order.procedure or _PROCEDURES.get(order.modality, _IMAGING)
    return coded(known)


def _study_time(order: Order) -> str:
    """Write when the study was made, in its own zone where it names one."""
    time = order.study_time[:_SECONDS] if order.study_date else ""
    return f"{order.study_date}{time}{order.utc_offset if time else ''}"
