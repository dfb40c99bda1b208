"""The options of `models`. The command line imports this: nothing slow."""

import argparse
from pathlib import Path

from dicom_node.commands.add_options import add_options as add_options_of_add


def add_options(sub: argparse.ArgumentParser) -> None:
    """Add every action on model bundles."""
    actions = sub.add_subparsers(metavar="ACTION", dest="action", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, description=text)
        # Given after the action too, without undoing what stood before it.
        parser.add_argument(
            "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS
        )
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        return parser

    action("list", "every bundle that a route can name")
    action("show", "one bundle's card").add_argument("model")
    verify = action("verify", "everything wrong with a bundle, or with all")
    verify.add_argument("model", nargs="?", metavar="MODEL|FOLDER")
    verify.add_argument(
        "--images",
        nargs="+",
        type=Path,
        metavar="FILE|FOLDER",
        help="then run it on these as a worker would: what it takes and why, windows, "
        "scores, time, memory; nothing is stored",
    )
    add_options_of_add(
        action("add", "put a bundle into the models folder, or make one")
    )
    bench = action("bench", "images per second of a bundle, by engine and precision")
    bench.add_argument("model")
    bench.add_argument("--keep", action="store_true", help="use the fastest")
    select = action("select", "what the model would take and say; nothing is stored")
    select.add_argument("model")
    select.add_argument("paths", nargs="*", type=Path, metavar="FILE|FOLDER")
    select.add_argument(
        "--study", metavar="UID|ACCESSION", help="a study that the node has received"
    )
    select.add_argument(
        "--no-predict", action="store_true", help="choose only, do not infer"
    )
