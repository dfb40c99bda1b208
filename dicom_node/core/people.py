"""People and programs that use the page and the API. Frozen values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What somebody may do; each may do what the one before may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # send again, run again
    ADMIN = "admin"  # see who did what

    def covers(self, needed: "Role") -> bool:
        """Say whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with a password.

    Args:
        sees_names: may see patients' names, which are read from the files.
        disabled_at: since when the login is refused; None: it is not.
    """

    user_id: int
    name: str
    role: Role
    sees_names: bool
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What a program shows instead of a password.

    Args:
        used_at: to the minute.
    """

    name: str
    role: Role
    sees_names: bool
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who sent a request.

    Args:
        name: as the audit has it: a user's, or "token NAME".
        by_token: shown a bearer token, which no browser sends by itself.
    """

    name: str
    role: Role
    sees_names: bool
    by_token: bool = False


# Who opens the page on this machine as long as there are no users. No name: nobody
# has said that this person may see any.
LOCAL: Final = Visitor(name="local", role=Role.OPERATOR, sees_names=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of who looked at what and who changed what.

    Args:
        detail: names of routes, users and addresses; no value from a data set.
    """

    at: datetime
    who: str
    action: str
    study_id: int | None = None
    detail: str = ""
