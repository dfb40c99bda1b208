"""What an ORU^R01 says of a result, observation by observation."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dicom_node.core.hl7 import Message
from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import CodedConcept, Finding, Prediction, Suggestion
from dicom_node.worklist.hl7_text import coded, escape, number

PRELIMINARY: Final = "P"  # HL7 table 0085; never F: a person's signature
CORRECTED: Final = "C"
WITHDRAWN: Final = "X"
NO_SUB_ID: Final = "0"  # in v2.3.1 OBX-4 may not be empty

_PRESENCE: Final = {  # CID 240
    True: CodedConcept(value="52101004", scheme="SCT", meaning="Present"),
    False: CodedConcept(value="272519000", scheme="SCT", meaning="Absent"),
    None: CodedConcept(value="373068000", scheme="SCT", meaning="Undetermined"),
}
_PROBABILITY: Final = CodedConcept(value="122157", scheme="DCM", meaning="Probability")
_NO_UNITS: Final = CodedConcept(value="1", scheme="UCUM", meaning="no units")
_SITE: Final = CodedConcept(value="363698007", scheme="SCT", meaning="Finding Site")
_SIDE: Final = CodedConcept(value="272741003", scheme="SCT", meaning="Laterality")
_VIEW: Final = CodedConcept(value="111031", scheme="DCM", meaning="Image View")
_STUDY: Final = CodedConcept(value="113014", scheme="DCM", meaning="DICOM Study")
_SUMMARY: Final = CodedConcept(
    value="111065", scheme="DCM", meaning="Summary of Analyses"
)
_SUMMARIES: Final = {  # CID 6042
    Outcome.FAILED: CodedConcept(value="111224", scheme="DCM", meaning="Failed"),
    Outcome.NOT_EVALUATED: CodedConcept(
        value="111225", scheme="DCM", meaning="Not Attempted"
    ),
}
_PRIORITY: Final = CodedConcept(
    value="AIPRIO", scheme="L", meaning="AI suggested reading priority"
)
_URGENCIES: Final = {  # HL7 table 0485
    Urgency.STAT: CodedConcept(value="S", scheme="HL70485", meaning="STAT"),
    Urgency.URGENT: CodedConcept(value="A", scheme="HL70485", meaning="ASAP"),
    Urgency.ROUTINE: CodedConcept(value="R", scheme="HL70485", meaning="Routine"),
}
_VALUE_TYPE, _CONCEPT, _SUB_ID, _STATUS = 2, 3, 4, 11  # fields of OBX


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """An OBX segment; all its texts but the notes under it are escaped already.

    Args:
        kind: HD, NM, or "" for a coded value, whose type depends on the version.
        sub_id: what belongs together has the same.
        normal: the range that means nothing found.
        flag: AA, A or N (HL7 table 0078).
        measured: whether the model itself says it.
    """

    concept: str
    value: str = ""
    kind: str = ""
    sub_id: str = ""
    unit: str = ""
    normal: str = ""
    flag: str = ""
    measured: bool = False
    status: str = PRELIMINARY
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What a receiver knows it by: OBX-3.1 and OBX-4."""
        return self.concept.partition("^")[0], self.sub_id


def observe(
    prediction: Prediction,
    study_instance_uid: str,
    *,
    suggestion: Suggestion | None,
    critical: Collection[Finding] = (),
) -> tuple[Observation, ...]:
    """Say what was found, of which study, and how soon it should be read.

    Args:
        critical: findings that the site's table calls STAT.
    """
    said: list[Observation] = []
    summary = _SUMMARIES.get(prediction.outcome)
    if summary is not None:
        notes = (prediction.reason,) if prediction.reason else ()
        said.append(_code(_SUMMARY, summary, measured=True, notes=notes))
    else:
        for place, finding in enumerate(prediction.findings, start=1):
            abnormal = "AA" if finding in critical else "A"
            said += _finding(finding, str(place), abnormal=abnormal)
    said.append(
        Observation(concept=coded(_STUDY), value=escape(study_instance_uid), kind="HD")
    )
    if suggestion is not None:
        urgency = _URGENCIES[suggestion.urgency]
        said.append(_code(_PRIORITY, urgency, notes=(suggestion.reason,)))
    return tuple(said)


def correct(
    said: Sequence[Observation], earlier: Message | None
) -> tuple[Observation, ...]:
    """Mark what replaces an earlier message's observations, and withdraw the rest.

    Args:
        earlier: None if it cannot be read any more: then everything is a correction.
    """
    if earlier is None:
        return tuple(replace(one, status=CORRECTED) for one in said)
    before = {one.key: one for one in _standing(earlier)}
    marked = [
        replace(one, status=CORRECTED if one.key in before else PRELIMINARY)
        for one in said
    ]
    gone = before.keys() - {one.key for one in said}
    return (*marked, *(one for key, one in before.items() if key in gone))


def stands(message: Message) -> bool:
    """Say whether a message holds a result that can be withdrawn.

    That there is none, and of which study, is no result.
    """
    said = (_STUDY.value, _SUMMARY.value)
    return any(one.key[0] not in said for one in _standing(message))


def _standing(message: Message) -> Iterator[Observation]:
    """Take a message's observations that were not withdrawn, as withdrawn ones."""
    for fields in message.named("OBX"):
        filled = (*fields, *[""] * (_STATUS + 1 - len(fields)))
        if filled[_STATUS] != WITHDRAWN and filled[_CONCEPT]:
            kind = filled[_VALUE_TYPE]
            yield Observation(
                concept=filled[_CONCEPT],
                kind="" if kind in ("CE", "CWE") else kind,
                sub_id="" if filled[_SUB_ID] == NO_SUB_ID else filled[_SUB_ID],
                status=WITHDRAWN,
            )


def _finding(finding: Finding, sub_id: str, *, abnormal: str) -> Iterator[Observation]:
    """Say a finding and what belongs to it, under one OBX-4."""
    flag = "" if finding.present is None else "N"
    if finding.present:
        flag = abnormal
    normal = "" if finding.threshold is None else f"<{number(finding.threshold, 4)}"
    notes = (finding.note,) if finding.note else ()
    if finding.value is None:
        presence = _PRESENCE[finding.present]
        first = _code(finding.concept, presence, measured=True, notes=notes)
        yield replace(first, sub_id=sub_id, flag=flag)
        yield Observation(
            concept=coded(_PROBABILITY),
            value=number(finding.probability, 4),
            kind="NM",
            sub_id=sub_id,
            unit=coded(_NO_UNITS),
            normal=normal,
            measured=True,
        )
    else:
        yield Observation(
            concept=coded(finding.concept),
            value=number(finding.value, 6),
            kind="NM",
            sub_id=sub_id,
            unit=coded(finding.unit or _NO_UNITS),
            normal=normal,
            flag=flag,
            measured=True,
            notes=notes,
        )
    about = ((_SITE, finding.site), (_SIDE, finding.laterality), (_VIEW, finding.view))
    for concept, value in about:
        if value is not None:
            yield replace(_code(concept, value), sub_id=sub_id)


def _code(
    concept: CodedConcept,
    value: CodedConcept,
    *,
    measured: bool = False,
    notes: tuple[str, ...] = (),
) -> Observation:
    return Observation(
        concept=coded(concept), value=coded(value), measured=measured, notes=notes
    )
