"""Passwords as argon2id hashes (RFC 9106); nothing else knows of argon2."""

import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from dicom_node.core.errors import UsageError

SHORTEST: Final = 12
LONGEST: Final = 256
# The low memory profile of RFC 9106 section 4: 64 MiB a hash.
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)
# So many at once, however many ask: each takes its 64 MiB.
_TURNS: Final = threading.BoundedSemaphore(2)
# No password's: what a name that nobody has is compared with, for the same time.
_NOBODY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5bm9ib2R5bm9ibw$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)


def hash_password(password: str) -> str:
    """Return what is kept of a password.

    Raises:
        UsageError: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"a password has {SHORTEST} to {LONGEST} characters")
    with _TURNS:
        return _HASHER.hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Say whether this is the password.

    Args:
        kept: None for a user who does not exist: False, after as long a time.
    """
    if len(password) > LONGEST:
        return False
    with _TURNS:
        try:
            matches = _HASHER.verify(kept or _NOBODY, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False
    return matches and kept is not None


def is_outdated(kept: str) -> bool:
    """Say whether the hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(kept)
