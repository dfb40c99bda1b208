"""What FHIR resources are made from, how they are identified and find one another."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import quote
from uuid import UUID, uuid5

from dicom_node.core.states import Outcome
from dicom_node.core.types import CodedConcept, Finding, Prediction, Suggestion
from dicom_node.worklist.fhir_values import JSON, typed_identifier, uid_identifier
from dicom_node.worklist.order import Order

# Both are part of every identifier that was ever sent: they never change.
_NAMESPACE: Final = UUID("30b59324-0cce-5635-af2d-bc5728ee1b8a")
OWN_SYSTEM: Final = "urn:uuid:30b59324-0cce-5635-af2d-bc5728ee1b8a"

_WITHOUT_RESULT: Final = (Outcome.NOT_EVALUATED, Outcome.FAILED)


class Standing(StrEnum):
    """What holds of a result, as DiagnosticReport.status says it."""

    # Never "final": nobody has read it. So a correction is preliminary again: FHIR's
    # "corrected" and "amended" are for reports that were final before.
    HOLDS = "preliminary"
    NOT_EVALUATED = "cancelled"
    WITHDRAWN = "entered-in-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a resource is and what it is known by.

    Args:
        key: the value of its identifier, or what it is made of where it has none.
    """

    kind: str
    key: str

    @property
    def uuid(self) -> str:
        """What is always derived from kind and key (RFC 9562 5.5)."""
        return str(uuid5(_NAMESPACE, f"{self.kind}|{self.key}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A result as FHIR tells it.

    Args:
        model: by which the node knows it, whatever its version.
        subject: whose study it is: a Reference.
        link: writes Reference.reference for a resource.
        accession_systems: the URI of each issuer's Accession Numbers, by its local
            name; "" for those whose issuer the images do not name.
        told_task: a suggestion was told before, which has to be taken back.
    """

    order: Order
    prediction: Prediction
    model: str
    standing: Standing
    subject: JSON
    link: Callable[[Target], str]
    suggestion: Suggestion | None = None
    accession_systems: Mapping[str, str] = field(default_factory=dict)
    told_task: bool = False

    @property
    def study(self) -> Target:
        """The study."""
        return Target(kind="ImagingStudy", key=self.order.study_instance_uid)

    @property
    def device(self) -> Target:
        """The algorithm, with its version and its weights."""
        return Target(kind="Device", key=self.prediction.device_uid)

    @property
    def report(self) -> Target:
        """What one model says of the study: the same at every revision."""
        return Target(kind="DiagnosticReport", key=self._own_key())

    @property
    def task(self) -> Target:
        """The suggestion to read the study."""
        return Target(kind="Task", key=self._own_key())

    @property
    def observations(self) -> tuple[tuple[Target, Finding], ...]:
        """The findings, none of them unless the result holds."""
        if self.standing is not Standing.HOLDS:
            return ()
        seen: Counter[str] = Counter()
        made = []
        for finding in self.prediction.findings:
            key = "/".join((self._own_key(), *_finding_key(finding)))
            seen[key] += 1
            if seen[key] > 1:  # a model that says the same twice
                key = f"{key}/{seen[key]}"
            made.append((Target(kind="Observation", key=key), finding))
        return tuple(made)

    def accession(self) -> JSON | None:
        """Return the Identifier of the order, None if the images name none."""
        if not self.order.accession_number.strip():
            return None
        return typed_identifier(
            "ACSN",
            self.order.accession_number,
            self.order.accession_issuer,
            self.accession_systems,
        )

    def refer(self, target: Target) -> JSON:
        """Return a Reference to a resource."""
        return {"reference": self.link(target)}

    def _own_key(self) -> str:
        return f"{self.order.study_instance_uid}/{quote(self.model, safe='')}"


def standing_of(prediction: Prediction, *, withdraws: bool) -> Standing:
    """Say what holds of a result.

    Args:
        withdraws: one was told before, which a result that is none takes back.
    """
    if prediction.outcome not in _WITHOUT_RESULT:
        return Standing.HOLDS
    return Standing.WITHDRAWN if withdraws else Standing.NOT_EVALUATED


def identifier_of(target: Target) -> JSON:
    """Return the Identifier that a receiver finds a resource by."""
    if target.kind in ("ImagingStudy", "Device"):
        return uid_identifier(target.key)
    return {"system": OWN_SYSTEM, "value": target.key}


def _finding_key(finding: Finding) -> tuple[str, ...]:
    about = (("site", finding.site), ("side", finding.laterality))
    parts = [_coded(finding.concept)]
    for name, concept in (*about, ("view", finding.view)):
        if concept is not None:
            parts.append(f"{name}={_coded(concept)}")
    return tuple(parts)


def _coded(concept: CodedConcept) -> str:
    return quote(f"{concept.scheme}:{concept.value}", safe=":")
