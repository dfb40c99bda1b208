"""Which suggestions hold now, as SQL: what the reading list is sorted by.

The same as `db.suggestions` says of single studies, which a test compares.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, Subquery, case, func, or_, select

from db.desk_tables import suggestions
from db.holding import concluded, left_out
from db.tables import jobs
from dicom_node.core.states import Urgency

# The rank of a study without a suggestion comes after all of these.
RANKS: Final = {urgency: rank for rank, urgency in enumerate(Urgency)}
NO_RANK: Final = len(RANKS)


def current_suggestions(now: datetime) -> "Select[*tuple[Any, ...]]":
    """Select the suggestions that hold: not expired, not withdrawn, not replaced.

    A newer revision replaces a model's suggestion when its result is known, not
    before: an image that comes late does not take a study from the top of the list.
    A routing that leaves the model out replaces it at once: no job will.
    """
    later = jobs.alias("later")
    replaced = (
        select(later.c.id)
        .where(
            later.c.study_id == jobs.c.study_id,
            later.c.model == jobs.c.model,
            later.c.revision > jobs.c.revision,
            concluded(later),
        )
        .exists()
    )
    return (
        select(suggestions)
        .join(jobs, suggestions.c.job_id == jobs.c.id)
        .where(
            suggestions.c.withdrawn_at.is_(None),
            or_(suggestions.c.expires_at.is_(None), suggestions.c.expires_at > now),
            ~replaced,
            ~left_out(),
        )
    )


def ranks(now: datetime) -> Subquery:
    """Return studies with the rank of their most urgent suggestion that holds."""
    held = current_suggestions(now).subquery("held")
    rank = case(
        *((held.c.priority == urgency, rank) for urgency, rank in RANKS.items()),
        else_=NO_RANK,
    )
    return (
        select(held.c.study_id, func.min(rank).label("rank"))
        .group_by(held.c.study_id)
        .subquery("ranks")
    )
