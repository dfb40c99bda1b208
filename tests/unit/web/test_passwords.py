"""Passwords against a second implementation's hashes and odd input."""

import argon2
import pytest

from dicom_node.core.errors import UsageError
from dicom_node.web.passwords import hash_password, is_outdated, is_password

PASSWORD = "correct horse battery"  # noqa: S105 - the test's own


def test_a_password_is_hashed_with_argon2id_and_the_parameters_of_rfc_9106() -> None:
    kept = hash_password(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert kept != hash_password(PASSWORD)
    assert is_password(PASSWORD, kept)
    assert not is_password(PASSWORD + " ", kept)
    assert not is_outdated(kept)


def test_a_hash_of_weaker_parameters_still_opens_and_is_known_as_outdated() -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
    kept = weak.hash(PASSWORD)
    assert is_password(PASSWORD, kept)
    assert is_outdated(kept)


def test_who_does_not_exist_costs_a_whole_hash_and_is_never_let_in() -> None:
    from dicom_node.web import passwords

    parameters = argon2.extract_parameters(passwords._NOBODY)
    assert parameters == argon2.extract_parameters(hash_password(PASSWORD))
    for tried in ("", PASSWORD, "nobody"):
        assert not is_password(tried, None)


@pytest.mark.parametrize("kept", ["", "plain", "$argon2id$v=19$m=1"])
def test_what_is_no_hash_opens_nothing(kept: str) -> None:
    assert not is_password(PASSWORD, kept)
    assert not is_password("", kept)


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 257])
def test_a_password_that_is_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(UsageError, match="12 to 256"):
        hash_password(password)
