"""Which databases the node takes, and what it says to the others."""

import subprocess
import sys

import pytest

from db.engine import parse_url
from dicom_node.core.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///data/node.db", "sqlite+pysqlite"),
        ("sqlite:////var/lib/node.db", "sqlite+pysqlite"),
        ("sqlite+pysqlite:///node.db", "sqlite+pysqlite"),
        ("postgresql://node@host/name", "postgresql+psycopg"),
        ("postgres://node@host/name", "postgresql+psycopg"),
        (
            "postgresql+psycopg://node@host:5433/name?sslmode=on",
            "postgresql+psycopg",
        ),
    ],
)
def test_sqlite_and_postgresql_are_taken(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize(
    "url",
    [
        "",
        "node.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://node@host/name",
        "postgresql+psycopg2://node@host/name",
        "postgresql://node:s3cret@host:port/name",
    ],
)
def test_another_url_is_a_configuration_error_that_names_the_key(url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url") as caught:
        parse_url(url)
    assert "s3cret" not in str(caught.value)


def _python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_missing_postgresql_driver_is_an_error_with_the_remedy() -> None:
    shown = _python(
        "import sys; sys.modules['psycopg'] = None\n"
        "from db.engine import Database\n"
        "from dicom_node.core.errors import ConfigError\n"
        "try: Database('postgresql://node@host/name')\n"
        "except ConfigError as error: print(error)\n"
    )
    assert "pip install 'dicom-node[postgresql]'" in shown


def test_the_database_needs_neither_dicom_nor_torch() -> None:
    shown = _python(
        "import sys\n"
        "import db.associations, db.instances, db.queries, db.schema, db.work\n"
        "print([name for name in ('pydicom', 'pynetdicom', 'torch', 'psycopg')"
        " if name in sys.modules])\n"
    )
    assert shown.strip() == "[]"
