"""The options of `models add ARCHITECTURE`. The command line imports this: no torch."""

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what makes a bundle of an architecture, its weights and its labels."""
    parser.add_argument(
        "bundle",
        metavar="FOLDER|ARCHITECTURE",
        help="a finished bundle; or with --weights the name of a timm model",
    )
    make = parser.add_argument_group("to make a bundle of an architecture")
    make.add_argument("--weights", type=Path, metavar="SAFETENSORS")
    make.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="one name a line; or .csv/.toml with code, scheme, meaning, threshold",
    )
    make.add_argument("--name", help="of the bundle (default: of the weights file)")
    make.add_argument("--model-version", default="1", metavar="TEXT")
    make.add_argument(
        "--output", type=Path, metavar="FOLDER", help="instead of models.folder"
    )
    _input_options(parser.add_argument_group("its input (default: what timm knows)"))
    _output_options(parser.add_argument_group("its output"))
    _scope_options(parser.add_argument_group("its scope (default: no limit)"))


def _input_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--size", type=int, nargs="+", metavar="N", help="rows and columns, or one side"
    )
    group.add_argument("--mean", type=float, nargs="+", metavar="X")
    group.add_argument("--std", type=float, nargs="+", metavar="X")
    group.add_argument(
        "--resize", choices=("stretch", "fit", "crop"), default="stretch"
    )
    group.add_argument(
        "--windows",
        nargs="+",
        default=[],
        metavar="WINDOW",
        help="one for all channels or one each: ct-lung, ct-brain, ... or CENTER/WIDTH "
        "(default: the file's)",
    )
    group.add_argument(
        "--no-window",
        choices=("refuse", "percentile", "full_range"),
        default="refuse",
        help="what to do with a file that has no window (refuse)",
    )
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="further keyword of timm.create_model, e.g. global_pool=avg",
    )


def _output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--activation", choices=("softmax", "sigmoid", "identity"))
    group.add_argument("--threshold", type=float, help="of every label that names none")
    group.add_argument("--unit", metavar="UCUM", help="of --activation identity")
    group.add_argument(
        "--group-by", choices=("none", "laterality", "view"), default="none"
    )


def _scope_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--modality", nargs="+", default=[], metavar="CS")
    group.add_argument("--body-part", nargs="+", default=[], metavar="CS")
    group.add_argument("--view", nargs="+", default=[], metavar="CS")
    group.add_argument("--min-age", type=float, metavar="YEARS")
    group.add_argument("--max-age", type=float, metavar="YEARS")
