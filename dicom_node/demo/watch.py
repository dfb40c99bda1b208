"""Watches the studies on their way and tells each change once."""

from collections.abc import Callable, Sequence

from db.summary import DeliverySummary, JobSummary, StudySummary
from dicom_node.core.states import Outcome, StudyState, WorkState
from dicom_node.demo.images import Case, Expected

SETTLED = frozenset({WorkState.DONE, WorkState.FAILED, WorkState.CANCELLED})


class Watch:
    """Tells what becomes of the cases.

    Args:
        tell: takes a sentence and a rich style.
    """

    def __init__(self, cases: Sequence[Case], tell: Callable[[str, str], None]) -> None:
        self._names = {
            case.study_instance_uid: case.name
            for case in cases
            if case.expected is not Expected.REFUSED
        }
        self._tell = tell
        self._told: set[tuple[str, ...]] = set()
        self.answered = 0

    @property
    def total(self) -> int:
        """How many studies must have an answer."""
        return len(self._names)

    def update(self, studies: Sequence[StudySummary]) -> bool:
        """Tell what is new; return whether anything was."""
        before = len(self._told)
        ours = [item for item in studies if item["study_instance_uid"] in self._names]
        for study in ours:
            self._tell_study(study)
        self.answered = sum(is_answered(study) for study in ours)
        return len(self._told) > before

    def _tell_study(self, study: StudySummary) -> None:
        name = self._names[study["study_instance_uid"]]
        key = (study["study_instance_uid"], str(study["revision"]), study["state"])
        if study["state"] == StudyState.IGNORED:
            reason = study["ignored_because"] or "no reason is known"
            self._once(key, f"{name}: no model looks at it: {reason}", "yellow")
        for number, job in enumerate(study["jobs"]):
            where = (study["study_instance_uid"], str(number))
            self._tell_job(where, name, job)
            for delivery in job["deliveries"]:
                self._tell_delivery(where, name, delivery)

    def _tell_job(self, where: tuple[str, ...], name: str, job: JobSummary) -> None:
        if job["state"] == WorkState.RUNNING:
            text = f"{name}: the model {job['model']} looks at it"
            self._once((*where, "running"), text, "dim")
        # The report is on its way before the job is done: its pictures come later.
        known = job["state"] == WorkState.RUNNING and job["outcome"] is not None
        if known or job["state"] in {WorkState.DONE, WorkState.FAILED}:
            text, style = describe_job(job)
            self._once((*where, "found", text), f"{name}: {text}", style)

    def _tell_delivery(
        self, where: tuple[str, ...], name: str, delivery: DeliverySummary
    ) -> None:
        key = (*where, delivery["destination"], delivery["state"])
        status = delivery["status"] or "no status"
        if delivery["state"] == WorkState.DONE:
            text = f"{name}: its report is in the PACS, which answered {status}"
            self._once(key, text, "green")
        elif delivery["state"] == WorkState.FAILED:
            text = f"{name}: the PACS did not take its report ({status})"
            self._once(key, text, "red")
        elif delivery["state"] == WorkState.QUEUED and delivery["attempts"]:
            text = f"{name}: the PACS did not take its report, it is sent again later"
            self._once((*key, str(delivery["attempts"])), text, "yellow")

    def _once(self, key: tuple[str, ...], text: str, style: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._tell(text, style)


def is_answered(study: StudySummary) -> bool:
    """Say whether nothing more will become of a study."""
    if study["state"] == StudyState.RECEIVING:
        return False
    return all(
        job["state"] in SETTLED
        and all(delivery["state"] in SETTLED for delivery in job["deliveries"])
        for job in study["jobs"]
    )


def describe_job(job: JobSummary) -> tuple[str, str]:
    """Say what a settled job found out, and in which style."""
    if job["state"] == WorkState.FAILED:
        return f"the work was given up: {job['reason'] or 'see the log'}", "red"
    if job["outcome"] == Outcome.NOT_EVALUATED:
        return f"not evaluated: {job['reason']}", "yellow"
    if job["outcome"] == Outcome.FAILED:
        return f"could not be evaluated: {job['reason']}", "yellow"
    words = {True: "Present", False: "Absent", None: "no decision"}
    found = ", ".join(
        f"{item['meaning']} {words[item['present']]} "
        f"(probability {item['probability']:.2f})"
        for item in job["findings"]
    )
    return found or "an answer without findings", "bold"
