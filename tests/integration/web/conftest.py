"""Databases of both engines, as the tests of the database have them."""

from tests.integration.db.conftest import database as database
from tests.integration.db.conftest import engine as engine
from tests.integration.db.conftest import shared as shared
from tests.integration.db.conftest import url as url
