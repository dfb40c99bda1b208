"""Alembic's entry: `db.schema` passes its connection, the command line a URL.

To write the next migration:

    alembic -x url=sqlite:///new.db revision --autogenerate -m "what changes"
"""

from alembic import context
from sqlalchemy import Connection

from db.desk_tables import metadata
from db.engine import open_engine


def run(connection: Connection) -> None:
    """Run the migrations in the caller's transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True)["url"]
    engine = open_engine(url, create=True, foreign_keys=False)
    with engine.connect() as connection:
        connection.execution_options(dicom_node_write=True)
        with connection.begin():
            run(connection)
    engine.dispose()
