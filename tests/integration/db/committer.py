"""A program to be traced: it commits instances one by one and says so each time."""

import os
import sys
from dataclasses import replace

from db import instances
from db.engine import Database
from tests.integration.db import samples
from tests.integration.db.samples import KeyCompare

COMMITS = 5


def main(url: str, way: str, *durable: str) -> None:
    """Commit, the first time to open the database and the study."""
    database = Database(url)
    for number in range(COMMITS + 1):
        item = samples.received(number=number)
        if way == "complete":
            item = replace(item, calling_ae_title="ÉCHO")
        instances.record_all(
            database, [item], compare=KeyCompare(), durable=bool(durable)
        )
        os.write(1, b"committed\n")
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
