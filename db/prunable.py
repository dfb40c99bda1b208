"""Which studies' files may go."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, and_, case, exists, func, or_

from db.tables import (
    deliveries,
    instances,
    jobs,
    predictions,
    reports,
    studies,
    versions,
)
from dicom_node.core.states import EVALUATED, StudyState, WorkState

_SETTLED: Final = (StudyState.ROUTED, StudyState.IGNORED)
_OPEN: Final = (WorkState.QUEUED, WorkState.RUNNING)


class Prunable(StrEnum):
    """What became of a study that has nothing to do any more."""

    DONE = "done"  # every result is delivered
    IGNORED = "ignored"  # no route took it
    KEPT = "kept"  # a result that no destination was to get: here alone
    FAILED = "failed"  # something was given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which studies may be pruned.

    Args:
        before: nothing has happened to them since.
    """

    states: frozenset[Prunable]
    before: datetime


def may_go(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which a study's files may go."""
    mine = jobs.c.study_id == studies.c.id
    of_mine = and_(deliveries.c.job_id == jobs.c.id, mine)
    recently = [
        exists().where(mine, jobs.c.settled_at > scope.before),
        exists().where(of_mine, deliveries.c.settled_at > scope.before),
        exists().where(of_study(), versions.c.repeated_at > scope.before),
    ]
    return (
        studies.c.state.in_(_SETTLED),
        studies.c.last_instance_at <= scope.before,
        ~exists().where(mine, jobs.c.state.in_(_OPEN)),
        ~exists().where(of_mine, deliveries.c.state.in_(_OPEN)),
        *(~one for one in recently),
        or_(
            studies.c.pruned_at.is_(None),
            exists().where(of_study(), came_after_pruning()),
        ),
        became().in_([state.value for state in scope.states]),
    )


def of_study() -> ColumnElement[bool]:
    """Join versions and instances to the study."""
    return and_(
        versions.c.instance_id == instances.c.id,
        instances.c.study_id == studies.c.id,
    )


def came_after_pruning() -> ColumnElement[bool]:
    """Say whether a version came since the study was pruned."""
    return or_(
        versions.c.received_at > studies.c.pruned_at,
        func.coalesce(versions.c.repeated_at, versions.c.received_at)
        > studies.c.pruned_at,
    )


def files_gone() -> ColumnElement[bool]:
    """Say of a study that retention removed files that have not come again."""
    return and_(
        studies.c.pruned_at.is_not(None),
        exists().where(
            of_study(),
            versions.c.current.is_(True),
            ~instances.c.own_result,
            ~came_after_pruning(),
        ),
    )


def report_gone() -> ColumnElement[bool]:
    """Say of a delivery, joined to its job and study, that its files were removed."""
    return exists().where(
        reports.c.job_id == jobs.c.id,
        reports.c.kind == deliveries.c.kind,
        reports.c.created_at <= studies.c.pruned_at,
    )


def became() -> ColumnElement[str]:
    """Say what became of a study; of several things the one that keeps it longest."""
    mine = jobs.c.study_id == studies.c.id
    later = jobs.alias("later")
    replaced = exists().where(
        later.c.study_id == jobs.c.study_id,
        later.c.model == jobs.c.model,
        later.c.revision > jobs.c.revision,
    )
    given_up = or_(
        exists().where(mine, jobs.c.state == WorkState.FAILED, ~replaced),
        exists().where(
            deliveries.c.job_id == jobs.c.id,
            mine,
            deliveries.c.state == WorkState.FAILED,
        ),
    )
    sent = exists().where(deliveries.c.job_id == jobs.c.id).correlate(jobs)
    # A route without destinations has its results written as nothing.
    unwritten = exists().where(
        predictions.c.job_id == jobs.c.id,
        predictions.c.outcome.in_(EVALUATED),
        mine,
        ~sent,
        ~replaced,
    )
    stayed = or_(exists().where(reports.c.job_id == jobs.c.id, mine, ~sent), unwritten)
    return case(
        (given_up, Prunable.FAILED.value),
        (stayed, Prunable.KEPT.value),
        (studies.c.state == StudyState.IGNORED, Prunable.IGNORED.value),
        else_=Prunable.DONE.value,
    )
