"""What a result is written as: reports, objects and messages, and who gets which."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import db.reports
import db.results
from db.engine import Database
from dicom_node.core.clock import Clock
from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SOPClassUID
from dicom_node.core.protocols import (
    Destination,
    InstanceStore,
    ReportBuilder,
    ResultWriter,
    Suggest,
)
from dicom_node.core.states import MESSAGE_KINDS, Outcome, ReportKind, WorkState
from dicom_node.core.types import (
    Addressee,
    InputFile,
    Job,
    Prediction,
    Report,
    Settlement,
    Study,
)
from dicom_node.core.writing import Result

_WITHOUT_RESULT = (Outcome.NOT_EVALUATED, Outcome.FAILED)
# The same for every destination; messages are written for each.
_OBJECTS = (ReportKind.SR, ReportKind.SC, ReportKind.KOS)
# Nobody waits for these longer than for the report, which takes half of the time.
_LATER = (ReportKind.SC, ReportKind.KOS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written of a result.

    Args:
        rest: what `write_rest` has still to write of; None if this is everything.
    """

    settlement: Settlement
    rest: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Why what was told before holds no more.

    Args:
        outcome: FAILED or NOT_EVALUATED: what there is instead of a result.
    """

    reason: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What writes results.

    Args:
        reports: where the files go.
        writers: of the kinds beside the structured report.
        objects: by route, the kinds of objects that it wants; all if it is not named.
    """

    database: Database
    reports: InstanceStore
    report_builder: ReportBuilder
    destinations: Mapping[str, Destination]
    clock: Clock
    suggest: Suggest | None = None
    writers: Mapping[ReportKind, ResultWriter] = field(default_factory=dict)
    objects: Mapping[str, frozenset[ReportKind]] = field(default_factory=dict)

    def write(
        self,
        job: Job,
        study: Study,
        files: Sequence[InputFile],
        prediction: Prediction,
    ) -> Written:
        """Write what the job's destinations want of the prediction, urgent kinds first.

        Of a result the pictures and key objects are left to `write_rest`, so that
        report and messages need not wait for them.

        Raises:
            ReportError: it cannot be written.
            StoreError: the disk does not take it.
        """
        wanted = tuple(self._addressees(job, prediction))
        later: tuple[Addressee, ...] = ()
        suggestion = None
        if prediction.outcome in _WITHOUT_RESULT:
            wanted += tuple(one for one in self.told(job) if one not in wanted)
        else:
            later = tuple(one for one in wanted if one.kind in _LATER)
            if self.suggest is not None:
                at = prediction.finished_at  # as the preview does, to the same expiry
                suggestion = self.suggest.suggest(prediction, now=at)
        if len(later) < len(wanted):
            wanted = tuple(one for one in wanted if one not in later)
        else:  # nobody waits for anything else
            later = ()
        reports = self._structured(
            study, files, prediction, [a for a in wanted if a.kind is ReportKind.SR]
        )
        result = Result(
            job=job,
            study=study,
            files=tuple(files),
            prediction=prediction,
            report=reports[0] if reports else None,
            suggestion=suggestion,
        )
        reports += tuple(self._further(result, wanted))
        return Written(
            settlement=_settlement(result, reports, wanted),
            rest=result if later else None,
        )

    def write_rest(self, result: Result) -> Settlement:
        """Write what `write` has left for later; its prediction is kept already.

        Raises:
            ReportError: it cannot be written.
            StoreError: the disk does not take it.
        """
        addressees = self._addressees(result.job, result.prediction)
        later = tuple(one for one in addressees if one.kind in _LATER)
        return _settlement(result, tuple(self._further(result, later)), later)

    def _addressees(self, job: Job, prediction: Prediction) -> Iterator[Addressee]:
        """Say who gets which kind; structured reports first."""
        names = name_receivers(job.destinations, self.destinations, prediction.outcome)
        objects = self.objects.get(job.route, frozenset(_OBJECTS))
        allowed = tuple(kind for kind in _OBJECTS if kind in objects)
        for kind in ReportKind:
            for name in names:
                destination = self.destinations.get(name)
                # One that is not in the configuration any more fails in delivery,
                # where `retry` finds it once it is back.
                kinds = destination.kinds if destination else allowed[:1]
                if kind in kinds and (kind in allowed or kind not in _OBJECTS):
                    yield Addressee(destination=name, kind=kind)

    def withdraw(
        self,
        job: Job,
        study: Study,
        files: Sequence[InputFile],
        withdrawal: Withdrawal,
    ) -> Settlement:
        """Take back what was told of earlier revisions: this one has no result.

        Args:
            files: those of the revision that can be read.

        Returns:
            one without reports if nothing that was told holds.

        Raises:
            ReportError: it cannot be written, as when no file is left.
            StoreError: the disk does not take it.
        """
        told = tuple(self.told(job))
        last = db.results.latest_of_model(self.database, job.study_id, job.model)
        if last is None:
            raise ReportError("no result of the model is kept that could be withdrawn")
        now = self.clock.now()
        prediction = replace(
            last,
            outcome=withdrawal.outcome,
            reason=withdrawal.reason,
            findings=(),
            images=(),
            parameters=(),
            started_at=now,
            finished_at=now,
            provenance=None,
        )
        result = Result(job=job, study=study, files=tuple(files), prediction=prediction)
        reports = tuple(self._further(result, told))
        return _settlement(result, reports, told)

    def told(self, job: Job) -> Iterator[Addressee]:
        """Name who has a message of an earlier revision, wherever this one goes."""
        for name, destination in self.destinations.items():
            for kind in destination.kinds:
                if kind in MESSAGE_KINDS and db.reports.earlier_report(
                    self.database, job, kind=kind, destination=name
                ):
                    yield Addressee(destination=name, kind=kind)

    def _structured(
        self,
        study: Study,
        files: Sequence[InputFile],
        prediction: Prediction,
        addressees: Sequence[Addressee],
    ) -> tuple[Report, ...]:
        """Write one report per SOP class that a receiver may accept."""
        sop_class_uids = tuple(
            dict.fromkeys(
                sop_class_uid
                for one in addressees
                if one.destination in self.destinations
                for sop_class_uid in self.destinations[one.destination].sop_class_uids
            )
        )
        if not sop_class_uids:
            return ()
        found = (
            db.reports.predecessors(
                self.database,
                study.study_id,
                revision=study.revision,
                model=prediction.model,
                sop_class_uid=SOPClassUID(sop_class_uid),
            )
            for sop_class_uid in sop_class_uids
        )
        earlier = {report.sop_instance_uid: report for report in found if report}
        built = self.report_builder.build(
            files,
            prediction,
            sop_class_uids=sop_class_uids,
            predecessors=tuple(earlier.values()),
        )
        # A replay of the same images by the same model is the same object.
        return tuple(
            earlier[report.sop_instance_uid]
            if self._still_here(earlier.get(report.sop_instance_uid))
            else replace(report, file_key=self.reports.put(content))
            for report, content in built
        )

    def _still_here(self, report: Report | None) -> bool:
        """Say whether there is such a report, and retention has not removed it."""
        return report is not None and self.reports.intact(report.file_key)

    def _further(self, result: Result, wanted: Sequence[Addressee]) -> Iterator[Report]:
        """Write objects once and messages for each destination."""
        places = dict.fromkeys(
            (one.kind, "" if one.kind in _OBJECTS else one.destination)
            for one in wanted
            if one.kind in self.writers
        )
        for kind, destination in places:
            earlier = db.reports.earlier_report(
                self.database, result.job, kind=kind, destination=destination
            )
            made = self.writers[kind].write(
                result, destination=destination, earlier=earlier
            )
            if made is not None:
                report, content = made
                yield replace(report, file_key=self.reports.put(content))


def _settlement(
    result: Result, reports: tuple[Report, ...], wanted: Sequence[Addressee]
) -> Settlement:
    """Settle a job with what was written, for those who want it."""
    written = {(report.kind, report.destination) for report in reports}
    failed = result.prediction.outcome is Outcome.FAILED
    return Settlement(
        prediction=result.prediction,
        reports=reports,
        addressees=tuple(
            one
            for one in wanted
            if written.intersection({(one.kind, ""), (one.kind, one.destination)})
        ),
        suggestion=result.suggestion,
        state=WorkState.FAILED if failed else WorkState.DONE,
    )


def name_receivers(
    names: Sequence[str], destinations: Mapping[str, Destination], outcome: Outcome
) -> tuple[str, ...]:
    """Name those destinations of a route that want this outcome."""
    return tuple(
        name
        for name in dict.fromkeys(names)
        if outcome not in _WITHOUT_RESULT
        or (name in destinations and destinations[name].send_not_evaluated)
    )
