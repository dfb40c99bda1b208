"""When a study is complete, should nothing more of it arrive."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """When the images of a study's present revision came.

    Args:
        called_ae_title: that the last one was sent to.
    """

    last_instance_at: datetime
    revision_started_at: datetime
    called_ae_title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietTimes:
    """How long nothing may come until a study is complete.

    Args:
        limit_seconds: after which it is, whatever comes.
        called: quiet seconds of called AE titles that have their own.
    """

    quiet_seconds: float
    limit_seconds: float
    called: Mapping[str, float] = field(default_factory=dict)

    def complete_at(self, arrivals: Arrivals) -> datetime:
        """Return when the study is complete; past where it is to be routed now."""
        own = {title.strip(): seconds for title, seconds in self.called.items()}
        quiet = own.get(arrivals.called_ae_title.strip(), self.quiet_seconds)
        return min(
            arrivals.last_instance_at + timedelta(seconds=quiet),
            arrivals.revision_started_at + timedelta(seconds=self.limit_seconds),
        )
