"""`studies`: what was received and where it stands."""

import argparse

import db.queries
from rich.table import Table

from dicom_node import app
from dicom_node.commands.screen import console, loaded, print_json


def studies(options: argparse.Namespace) -> int:
    """Print all studies, oldest first."""
    database = app.open_checked_database(loaded(options).settings)
    listed = db.queries.studies(database)
    if options.json:
        print_json(listed)
        return 0
    screen = console()
    if not listed:
        screen.print("nothing was received yet: send something with `dicom-node send`")
        return 0
    return 0
