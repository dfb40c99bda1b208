"""`users`: logins of the page and API tokens; everything is in the audit."""

import argparse
import getpass
import re
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Final

import db.audit
import db.people
import db.schema
from db.engine import Database
from dicom_node.commands.screen import loaded, print_json
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import UsageError
from dicom_node.core.people import ApiToken, AuditEntry, Role
from dicom_node.core.tls import check_private
from dicom_node.web.passwords import hash_password
from dicom_node.web.sessions import digest, new_api_token

_NAME: Final = re.compile(r"[^\W_][\w.@-]{0,63}")
_PASSWORD_BYTES_MAX: Final = 4096
_WHO: Final = "command line"

_Action = Callable[[argparse.Namespace, Database], None]


def users(options: argparse.Namespace) -> int:
    """Carry out one action on logins and tokens."""
    actions: dict[str, _Action] = {
        "add": _add,
        "list": _list,
        "set": _set,
        "disable": _disable,
        "passwd": _passwd,
        "token": _token,
    }
    url = loaded(options).settings.database.url
    db.schema.create_if_new(url)  # who may log in is said before the first start
    with closing(db.schema.open_checked(url)) as database:
        actions[options.action](options, database)
    return 0


def _add(options: argparse.Namespace, database: Database) -> None:
    user = db.people.NewUser(
        name=_checked_name(options.name),
        role=Role(options.role),
        sees_names=options.sees_names,
        password_hash=hash_password(_read_password(options.password_file)),
    )
    added = db.people.add_user(database, user, now=SystemClock().now())
    _note(database, "user added", f"{added.name} {added.role}")
    _say(options, f"added {added.name}, {added.role}", name=added.name)


def _list(options: argparse.Namespace, database: Database) -> None:
    people = db.people.list_users(database)
    tokens = db.people.list_tokens(database)
    if options.json:
        print_json(
            {
                "users": [asdict(user) for user in people],
                "tokens": [asdict(token) for token in tokens],
            }
        )
        return
    for user in people:
        names = ", sees names" if user.sees_names else ""
        off = ", disabled" if user.disabled_at else ""
        print(f"{user.name}: {user.role}{names}{off}")
    for token in tokens:
        names = ", sees names" if token.sees_names else ""
        until = f"until {token.expires_at:%Y-%m-%d}" if token.expires_at else "for ever"
        print(f"token {token.name}: {token.role}{names}, {until}")
    if not people:
        print("nobody: `dicom-node users add NAME --role admin` adds the first login")


def _set(options: argparse.Namespace, database: Database) -> None:
    if options.role is None and options.sees_names is None:
        raise UsageError("say what to change: --role, --sees-names or --no-names")
    role = Role(options.role) if options.role else None
    changed = db.people.change_user(
        database, options.name, role=role, sees_names=options.sees_names
    )
    _note(database, "user changed", f"{changed.name} {changed.role}")
    _say(options, f"{changed.name} is {changed.role} now", name=changed.name)


def _disable(options: argparse.Namespace, database: Database) -> None:
    db.people.disable_user(database, options.name, now=SystemClock().now())
    _note(database, "user disabled", options.name)
    said = f"{options.name} cannot log in any more"
    if any(token.name == options.name for token in db.people.list_tokens(database)):
        said += (
            "; the API token of that name still opens the API: "
            f"`dicom-node users token revoke {options.name}`"
        )
    _say(options, said, name=options.name)


def _passwd(options: argparse.Namespace, database: Database) -> None:
    hashed = hash_password(_read_password(options.password_file))
    db.people.set_password(database, options.name, hashed)
    _note(database, "password set", options.name)
    _say(options, f"the password of {options.name} is set", name=options.name)


def _token(options: argparse.Namespace, database: Database) -> None:
    if options.token_action == "revoke":  # noqa: S105 - an action's name
        db.people.revoke_token(database, options.name)
        _note(database, "token revoked", options.name)
        _say(options, f"the token {options.name} is void", name=options.name)
        return
    secret, now = new_api_token(), SystemClock().now()
    token = ApiToken(
        name=_checked_name(options.name),
        role=Role(options.role),
        sees_names=options.sees_names,
        created_at=now,
        expires_at=now + timedelta(days=options.days) if options.days else None,
    )
    db.people.add_token(database, token, digest=digest(secret))
    _note(database, "token added", f"{token.name} {token.role}")
    if options.json:
        print_json({**asdict(token), "token": secret})
    else:
        print(secret)
        print("shown once: keep it where only its program reads it", file=sys.stderr)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            "a name takes up to 64 letters, digits, '.', '@', '_' and '-', and begins "
            "with a letter or digit"
        )
    return name


def _read_password(file: Path | None) -> str:
    """Read it from a file, from a person, or from standard input; never an argument.

    Raises:
        ConfigError: others may read the file.
        UsageError: it cannot be used.
    """
    if file is not None:
        check_private(file, "--password-file")
        with file.open("rb") as opened:
            return _decoded(opened.read(_PASSWORD_BYTES_MAX))
    if not sys.stdin.isatty():
        return _decoded(sys.stdin.buffer.readline(_PASSWORD_BYTES_MAX))
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise UsageError("these are two passwords: try again")
    return password


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError("a password is text in UTF-8") from None


def _note(database: Database, action: str, detail: str) -> None:
    at = SystemClock().now()
    entry = AuditEntry(at=at, who=_WHO, action=action, detail=detail)
    db.audit.record(database, entry)


def _say(options: argparse.Namespace, text: str, *, name: str) -> None:
    if options.json:
        print_json({"name": name})
    else:
        print(text)
