"""The API is what its description says: schemathesis with a fixed seed."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Database
from db.tables import versions
from dicom_node.core.people import Role
from dicom_node.core.states import Urgency
from tests.integration.web.browser import add_token, add_user, serving_desk
from tests.integration.web.studies import enter_study, fail_delivery, finish, write_file

_EXAMPLES = "8"
# Most of the time goes to values at the edges of their types, which are the same for
# both engines; PostgreSQL refuses more of them than SQLite.
_PHASES = {
    "sqlite": "examples,fuzzing",
    "postgresql": "examples,coverage,fuzzing,stateful",
}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["^/api/", "^/fhir/"])
def test_schemathesis_finds_nothing(
    database: Database, engine: str, tmp_path: Path, part: str
) -> None:
    study_id = enter_study(database, "1.2.3", accession="ACC-1")
    finish(database, study_id, urgency=Urgency.STAT)
    fail_delivery(database)
    add_user(database, "kim")  # nobody is let in without a login any more
    secret = add_token(database, Role.ADMIN, sees_names=True)
    with database.read() as connection:
        key = connection.execute(select(versions.c.file_key)).scalar_one()
    write_file(tmp_path, key)
    with serving_desk(database, tmp_path) as served:
        served.clock.pass_by(minutes=1)
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                f"http://127.0.0.1:{served.port}/api/openapi.json",
                *("--include-path-regex", part),
                *("--header", f"Authorization: Bearer {secret}"),
                *("--seed", "1", "--max-examples", _EXAMPLES),
                *("--phases", _PHASES[engine], "--no-color"),
                "--generation-deterministic",
                "--suppress-health-check=all",
            ],
            capture_output=True,
            text=True,
            timeout=200,
            cwd=tmp_path,  # it leaves a folder of its own
            check=False,
        )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
