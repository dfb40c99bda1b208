"""The options of `users`. The command line imports this: nothing slow."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dicom_node.core.people import Role

_ROLES: Final = tuple(role.value for role in Role)
_Action = Callable[[str, str], argparse.ArgumentParser]


def add_options(sub: argparse.ArgumentParser) -> None:
    """Add every action on logins and API tokens."""
    action = _adder(sub, "action")
    add = action("add", "add a login for the page")
    add.add_argument("name")
    _rights(add)
    _password(add)
    action("list", "every login and every API token")
    change = action("set", "change what somebody may do")
    change.add_argument("name")
    change.add_argument("--role", choices=_ROLES)
    names = change.add_mutually_exclusive_group()
    names.add_argument("--sees-names", action="store_true", default=None)
    names.add_argument("--no-names", action="store_false", dest="sees_names")
    action("disable", "refuse a login and end its sessions").add_argument("name")
    passwd = action("passwd", "set a password; enables the login, ends its sessions")
    passwd.add_argument("name")
    _password(passwd)
    token = _adder(action("token", "API tokens, for programs"), "token_action")
    made = token("add", "make a token; it is shown once")
    made.add_argument("name")
    _rights(made)
    made.add_argument(
        "--days",
        type=_days,
        default=365,
        metavar="N",
        help="until it expires (365); 0: never",
    )
    token("revoke", "end a token").add_argument("name")


def _adder(sub: argparse.ArgumentParser, dest: str) -> _Action:
    actions = sub.add_subparsers(metavar="ACTION", dest=dest, required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, description=text)
        # Given after the action too, without undoing what stood before it.
        parser.add_argument(
            "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS
        )
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        return parser

    return add


def _rights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--role", choices=_ROLES, default=Role.VIEWER.value, help="(viewer)"
    )
    parser.add_argument(
        "--sees-names", action="store_true", help="may see patients' names"
    )


def _password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="holds it, readable by this user only (default: ask, or standard input)",
    )


def _days(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 36500:
        raise argparse.ArgumentTypeError("takes a number of days up to 36500; 0: never")
    return value
