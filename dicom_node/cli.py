"""The command line: names, options, and where each command is carried out.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from dicom_node import __version__
from dicom_node.commands import models_options, users_options
from dicom_node.commands.carry_out import EXIT_USAGE, carry_out
from dicom_node.core.errors import NodeError
from dicom_node.core.loading import uncollected
from dicom_node.streams import hold_standard_streams

_Add = Callable[[argparse.ArgumentParser], None]


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage as every other fault: in one sentence with the remedy."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.exit(
            EXIT_USAGE, f"{self.prog}: {message}: `{self.prog} --help` tells more\n"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    hold_standard_streams()
    parser = build_parser()
    options = parser.parse_args(arguments)
    return carry_out(_run, options)


def _run(options: argparse.Namespace) -> int | None:
    # Imported here: `echo` should not wait for torch, nor a receiver load it.
    module, _, function = options.run.partition(":")
    with uncollected():
        loaded = importlib.import_module(f"dicom_node.commands.{module}")
    run = getattr(loaded, function)
    try:
        code: int | None = run(options)
    except OSError as error:
        if not isinstance(error.filename, str):
            raise  # of no file: where it came from is all that would help
        raise NodeError(
            f"{error.filename} cannot be used ({error.strerror}): correct the path, "
            "or what this user may read and write"
        ) from None
    return code


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of every command."""
    parser = _Parser(
        prog="dicom-node",
        description="The AI node that a PACS plugs into: studies come in by C-STORE, "
        "structured reports go back. Research use only.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: str, text: str, *adds: _Add) -> None:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="configuration (default: DICOM_NODE_CONFIG, else ./node.toml)",
        )
        for add in adds:
            add(sub)
        sub.set_defaults(run=run)

    command("demo", "demo:run", "the whole node on this machine, checked", _demo, _json)
    command("serve", "roles:serve", "run the node")
    command("receive", "roles:receive", "run the C-STORE SCP alone")
    command("work", "roles:work", "complete studies and infer, alone", _worker)
    command("deliver", "roles:deliver", "send reports, alone")
    command("web", "web:web", "serve the page, alone")
    command("send", "transfer:send", "C-STORE files or folders", _send, _peer, _json)
    command("echo", "transfer:echo", "C-ECHO", _peer, _json)
    command("studies", "studies:studies", "what was received, where it stands", _json)
    command("show", "show:show", "one study's timeline, and why", _show, _json)
    command("retry", "again:retry", "put failed work back", _retry, _json)
    command("replay", "again:replay", "run a study again", _replay, _json)
    command("worklist", "worklist:worklist", "the reading list", _worklist)
    command(
        "models",
        "models:models",
        "the model bundles",
        models_options.add_options,
        _json,
    )
    command(
        "users",
        "users:users",
        "logins and API tokens",
        users_options.add_options,
        _json,
    )
    command("train", "training:train", "fine-tune a bundle", _train, _json)
    command("evaluate", "training:evaluate", "measure a bundle", _evaluate, _json)
    command("prune", "prune:prune", "remove the files of old studies", _prune, _json)
    command("check", "check:check", "everything wrong, in one message", _json)
    command("migrate", "roles:migrate", "bring the database schema up to date")
    return parser


def _json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print one JSON document")


def _demo(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--data", type=Path, metavar="FOLDER", help="send these DICOM files instead"
    )
    sub.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        default=Path("demo-output"),
        help="where everything is kept (default: demo-output)",
    )
    sub.add_argument(
        "--keep", action="store_true", help="leave the node and its page running"
    )


def _peer(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--to",
        metavar="HOST:PORT",
        help="whom to call (default: the node of the configuration)",
    )
    sub.add_argument("--called", metavar="AE", help="called AE title")
    sub.add_argument("--calling", metavar="AE", default="DICOM-NODE-SCU")
    sub.add_argument("--tls", action="store_true", help="call over DICOM TLS")
    sub.add_argument(
        "--ca", type=Path, metavar="PEM", help="who signs the peer's certificate"
    )
    sub.add_argument(
        "--certificate", type=Path, metavar="PEM", help="ours, if the peer wants one"
    )
    sub.add_argument("--key", type=Path, metavar="PEM", help="of --certificate")


def _send(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("paths", nargs="+", type=Path, metavar="FILE|FOLDER")


def _show(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "study", nargs="?", metavar="UID|ACCESSION", help="which study to show"
    )
    sub.add_argument(
        "--associations", action="store_true", help="who called, what was refused"
    )
    sub.add_argument(
        "--refused", action="store_true", help="images that were refused, and why"
    )
    sub.add_argument(
        "--limit", type=int, default=50, metavar="N", help="how many at most (50)"
    )


def _retry(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "study", nargs="?", metavar="UID|ACCESSION", help="only this study"
    )
    sub.add_argument("--all", action="store_true", help="everything (the default)")
    sub.add_argument("--destination", metavar="NAME", help="only deliveries to it")
    sub.add_argument(
        "--kind",
        choices=("sr", "sc", "kos", "hl7", "fhir", "webhook"),
        help="only deliveries of this kind",
    )
    sub.add_argument(
        "--delivered", action="store_true", help="what the study has delivered, again"
    )


def _replay(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("study", metavar="UID|ACCESSION")
    sub.add_argument(
        "--verify",
        action="store_true",
        help="infer again and compare with the stored result; change nothing",
    )
    sub.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="X",
        default=0.0,
        help="largest difference of a score that --verify lets pass (0: the same bits)",
    )


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("takes a number from 0")
    return value


def _prune(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--older-than",
        metavar="AGE",
        help="studies to which nothing happened for so long: 30d, 12h",
    )
    sub.add_argument(
        "--until-free",
        metavar="SPACE",
        help="the oldest first, until so much of the disk is free: 20GB, 15%%",
    )
    sub.add_argument(
        "--state",
        action="append",
        choices=("done", "ignored", "kept", "failed"),
        help="of what became of them; may be given several times (done, ignored)",
    )
    sub.add_argument(
        "--records-older-than",
        metavar="AGE",
        help="also associations and the moves of settled work",
    )
    sub.add_argument("--dry-run", action="store_true", help="say it, remove nothing")


def _worklist(sub: argparse.ArgumentParser) -> None:
    actions = sub.add_subparsers(metavar="ACTION", dest="action", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, description=text)
        parser.add_argument(
            "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS
        )
        return parser

    preview = action("preview", "what would be told of a study; nothing is sent")
    preview.add_argument("study", metavar="UID|ACCESSION")
    preview.add_argument("--destination", metavar="NAME", help="only to this one")
    preview.add_argument(
        "--format",
        choices=("hl7", "fhir", "webhook"),
        help="this kind of message, also before a destination is configured",
    )
    _json(preview)
    action("proxy", "serve the hospital's worklist with the suggested priority")


def _worker(sub: argparse.ArgumentParser) -> None:
    """Which of several workers this is; `serve` says so."""
    sub.add_argument("--worker", type=int, default=1, help=argparse.SUPPRESS)
    sub.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)


def _train(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    sub.add_argument("--base", type=Path, required=True, metavar="SAFETENSORS")
    sub.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    sub.add_argument("--epochs", type=_whole(1))
    sub.add_argument("--image-size", type=_whole(1))
    sub.add_argument("--batch-size", type=_whole(2))
    sub.add_argument("--seed", type=_whole(0), default=0)
    sub.add_argument("--threads", type=_whole(0), default=0)
    sub.add_argument("--restart", action="store_true", help="do not resume")


def _evaluate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    sub.add_argument("--data", type=Path, required=True, metavar="DIR")
    sub.add_argument("--output", type=Path, metavar="DIR", help="plots and JSON")
    sub.add_argument("--resamples", type=_whole(1), default=2000)
    sub.add_argument("--seed", type=_whole(0), default=0)


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"takes a whole number from {least}")
        return int(text)

    return read


if __name__ == "__main__":
    raise SystemExit(main())
