"""Databases of both engines, as the tests of the database have them."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from dicom_node.web import passwords
from tests.integration.db.conftest import database as database
from tests.integration.db.conftest import engine as engine
from tests.integration.db.conftest import shared as shared
from tests.integration.db.conftest import url as url


@pytest.fixture(autouse=True, scope="module")
def cheap_passwords() -> Iterator[None]:
    """Hash in a millisecond: what a hash costs is for `tests/unit/web/test_passwords`.

    Processes that a test starts hash as the node does.
    """
    with pytest.MonkeyPatch.context() as patch:
        cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(passwords, "_HASHER", cheap)
        yield
