"""Everything raised on purpose: the class tells what to do, the text is for people.

A text names attributes, limits and remedies, never a value from a data set.
"""


class NodeError(Exception):
    """Base of every error this node raises on purpose."""


class ConfigError(NodeError):
    """The configuration cannot be used; exit code 2."""


class UsageError(NodeError):
    """The command was called in a way it cannot serve; exit code 2."""


class ReceiveError(NodeError):
    """A C-STORE-RQ that is refused with `status` (PS3.4 B.2.3)."""

    status = 0x0110


class OutOfResources(ReceiveError):
    """Disk low, database down or shutting down: the sender should retry later."""

    status = 0xA700


class DiskFailed(OutOfResources):
    """The disk did not take what was written: full, read-only or broken."""


class DoesNotMatch(ReceiveError):
    """The data set is not what the command said: the sender should not retry."""

    status = 0xA900


class CannotUnderstand(ReceiveError):
    """The data set cannot be parsed or lacks a UID: the sender should not retry."""

    status = 0xC000


class StoreError(NodeError):
    """A file cannot be written or read back as it was written."""


class PixelError(NodeError):
    """Pixel data that cannot be turned into model input; names the attribute."""


class BundleError(NodeError):
    """A model bundle that must not be used; names the field or the digest."""


class InferenceError(NodeError):
    """The model could not be run; `retryable` says whether to try again."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class DeviceLost(InferenceError):
    """The device does not answer any more: only a new process gets it back."""


class ScoreError(InferenceError):
    """A score that is no result, e.g. not a number: the whole job fails."""


class ReportError(NodeError):
    """A report that cannot be built from this study."""


class DeliveryError(NodeError):
    """A destination did not take the report.

    Args:
        status: DIMSE or HTTP status the peer answered, None if there was none.
        retryable: the same report may be taken later.

    Attributes:
        wait_seconds: how long the peer wants to be left alone, where it says so.
    """

    def __init__(
        self, message: str, *, retryable: bool, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.wait_seconds = 0.0


class Quarantined(DeliveryError):
    """An object that is not what it has to be: it never leaves the node."""


class DatabaseError(NodeError):
    """The database is down, locked for too long, or has another schema."""


class LostRace(NodeError):
    """Another worker settled this work first; nothing was written."""
