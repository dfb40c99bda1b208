"""What reports are written from. Frozen values."""

from dataclasses import dataclass

from dicom_node.core.types import (
    InputFile,
    Job,
    Prediction,
    Report,
    Study,
    Suggestion,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A prediction and what is known around it: what reports are written from.

    Args:
        files: of the revision, as inference saw them.
        report: the best structured report, None if none was written.
        suggestion: None when the site's table says nothing of it.
    """

    job: Job
    study: Study
    files: tuple[InputFile, ...]
    prediction: Prediction
    report: Report | None = None
    suggestion: Suggestion | None = None
