"""The schema: created once, migrated in one transaction, checked at the start."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, inspect, text
from sqlalchemy.engine.interfaces import ReflectedIndex

from db import associations, instances, schema, studies
from db.desk_tables import metadata
from db.engine import open_engine
from dicom_node.core.errors import DatabaseError
from dicom_node.core.states import Receipt
from tests.peers import PROJECT


def _index(index: ReflectedIndex) -> str:
    options = index.get("dialect_options", {})
    where = [str(value) for key, value in options.items() if key.endswith("where")]
    return f"{index['name']} {index['column_names']} {index['unique']} {where}"


def _describe(engine: Engine) -> dict[str, object]:
    """Return what the database itself says of its tables."""
    inspector = inspect(engine)
    tables = [name for name in inspector.get_table_names() if "alembic" not in name]
    return {
        name: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ],
            "primary key": inspector.get_pk_constraint(name),
            "foreign keys": sorted(map(str, inspector.get_foreign_keys(name))),
            "unique": sorted(map(str, inspector.get_unique_constraints(name))),
            "checks": sorted(map(str, inspector.get_check_constraints(name))),
            "indexes": sorted(map(_index, inspector.get_indexes(name))),
        }
        for name in sorted(tables)
    }


def test_a_migrated_schema_equals_the_tables_in_the_code(
    empty_url: str,
) -> None:
    assert schema.migrate(empty_url) == ("", schema.head())
    migrated = open_engine(empty_url)
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    from_migrations = _describe(migrated)
    with migrated.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert _describe(migrated) == from_migrations
    assert len(from_migrations) == len(metadata.tables)
    migrated.dispose()


def test_a_new_database_is_created_once(empty_url: str) -> None:
    assert schema.create_if_new(empty_url)
    schema.check(empty_url)
    assert not schema.create_if_new(empty_url)
    assert schema.migrate(empty_url) == (schema.head(), schema.head())


def test_of_several_that_create_at_once_one_does(empty_url: str) -> None:
    together = Barrier(4)

    def create(_: int) -> bool:
        together.wait()
        return schema.create_if_new(empty_url)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [False, False, False, True]
    schema.check(empty_url)


def test_a_database_without_schema_is_told_to_migrate(empty_url: str) -> None:
    with pytest.raises(DatabaseError, match="run `dicom-node"):
        schema.check(empty_url)


def _pretend(url: str, statement: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_newer_schema_is_refused(fresh_url: str) -> None:
    _pretend(fresh_url, "UPDATE alembic_version SET version_num = '9999'")
    for touch in (schema.check, schema.migrate):
        with pytest.raises(DatabaseError, match="upgrade dicom-node"):
            touch(fresh_url)


def test_an_older_schema_is_told_to_migrate(fresh_url: str) -> None:
    _pretend(fresh_url, "DELETE FROM alembic_version")
    with pytest.raises(DatabaseError, match="run `dicom-node migrate`"):
        schema.check(fresh_url)


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    """The last table of the first migration is there already: nothing is created."""
    engine = open_engine(empty_url, create=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE associations (id INTEGER)"))
    with pytest.raises(DatabaseError):
        schema.migrate(empty_url)
    assert inspect(engine).get_table_names() == ["associations"]
    engine.dispose()


def _make_first_version(url: str) -> None:
    """Make a database as the first version left it: one instance, two conflicts."""
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    engine = open_engine(url, create=True)
    with engine.connect() as connection:
        connection.execution_options(dicom_node_write=True)
        with connection.begin():
            schema.upgrade(connection, "0001")
            then = MetaData()
            then.reflect(connection)
            for name, row in _first_rows(at):
                connection.execute(then.tables[name].insert(), row)
    engine.dispose()


def _first_rows(at: datetime) -> Iterator[tuple[str, dict[str, object]]]:
    yield (
        "studies",
        {"id": 1, "study_instance_uid": "1.2", "accession_number": "A1"}
        | {"state": "ROUTED", "revision": 1, "revision_started_at": at}
        | {"first_instance_at": at, "last_instance_at": at},
    )
    yield (
        "instances",
        {"id": 1, "study_id": 1, "sop_instance_uid": "1.2.3", "revision": 1}
        | {"own_result": False, "received_at": at},
    )
    uids = ("study_instance", "series_instance", "sop_class", "transfer_syntax")
    for number, receipt in enumerate(("new", "conflict", "conflict")):
        yield (
            "versions",
            {f"{name}_uid": "1.2" for name in uids}
            | {"instance_id": 1, "receipt": receipt, "current": receipt == "new"}
            | {"received_at": at, "repeats": 0, "calling_ae_title": "CT1"}
            | {"called_ae_title": "AINODE", "peer_address": "", "size_bytes": 10}
            | {"file_key": f"key{number}", "dataset_sha256": f"{number:064}"}
            | {"pixel_sha256": "", "header": {}},
        )
    yield (
        "associations",
        {"at": at, "calling_ae_title": "CT1", "called_ae_title": "AINODE"}
        | {"peer_address": "", "accepted": True, "reason": "", "instances": 1}
        | {"refused_contexts": [], "refused_instances": 0, "size_bytes": 10}
        | {"seconds": 0.5},
    )


def test_what_the_first_version_kept_is_kept(empty_url: str) -> None:
    _make_first_version(empty_url)
    with pytest.raises(DatabaseError, match="run `dicom-node migrate`"):
        schema.check(empty_url)
    assert schema.migrate(empty_url) == ("0001", schema.head())
    database = schema.open_checked(empty_url)
    found = instances.find(database, "1.2.3")
    assert [(item.current, item.receipt) for item in found] == [
        (True, Receipt.NEW),
        (False, Receipt.CONFLICT),
        (False, Receipt.CONFLICT),
    ]
    assert [item.dataset_digest for item in found] == [f"{n:064}" for n in range(3)]
    (study_id,) = studies.identify(database, "A1")
    study = studies.load(database, study_id)
    assert (study.called_ae_title, len(study.instances)) == ("", 1)
    (association,) = associations.recent(database)
    assert (association.tls_version, association.certificate_subject) == ("", "")
    database.close()


def test_the_names_of_the_files_are_the_revisions_in_their_order() -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    known = [script.revision for script in scripts.walk_revisions()]
    assert schema.revisions() == tuple(reversed(known))
    assert schema.head() == scripts.get_current_head()


def test_a_look_at_the_schema_loads_no_alembic(fresh_url: str) -> None:
    look = (
        "import sys; from db import schema; schema.create_if_new(sys.argv[1]); "
        "schema.check(sys.argv[1]); print('alembic' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", look, fresh_url],
        check=True,
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert found.stdout.strip() == "False"
