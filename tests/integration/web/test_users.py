"""`dicom-node users`, and a site that others than this machine reach."""

import io
import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path

import pytest

import db.audit
import db.people
from db.engine import Database
from dicom_node.cli import main
from dicom_node.core.people import Role
from dicom_node.web.passwords import is_password
from tests.certificates import Authority
from tests.peers import PROJECT, Machine, accepts, free_port, start_node, wait_until

PASSWORD = "correct horse battery"  # noqa: S105 - the test's own
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of its own, which says nothing."""
    path = tmp_path / "node.toml"
    path.write_text("")
    return path


@pytest.fixture
def run(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command line in this process, with what is typed or piped into it."""

    def ran(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        capsys.readouterr()
        code: int | str | None
        try:
            code = main([*arguments, "--config", str(config)])
        except SystemExit as end:
            code = end.code
        assert isinstance(code, int)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return ran


@pytest.fixture
def run_apart(config: Path) -> Run:
    """Run the command line as a process of its own."""

    def ran(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "dicom_node"),
                *arguments,
                *("--config", str(config)),
            ],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=PROJECT,
            check=False,
        )

    return ran


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Database]:
    return lambda: Database(f"sqlite:///{tmp_path}/data/node.db")


def test_users_are_added_listed_changed_and_disabled(
    run: Run, run_apart: Run, opened: Callable[[], Database], tmp_path: Path
) -> None:
    added = run_apart("users", "add", "kim", "--role", "admin", given=PASSWORD + "\n")
    assert (added.returncode, added.stderr) == (0, "")
    file = tmp_path / "password"
    file.write_text("another long password\n")
    file.chmod(0o600)
    lee = run("users", "add", "lee", "--sees-names", "--password-file", str(file))
    assert lee.returncode == 0
    assert (
        run("users", "set", "lee", "--role", "operator", "--no-names").returncode == 0
    )
    assert run("users", "passwd", "kim", given="a third long password").returncode == 0
    assert run("users", "disable", "lee").returncode == 0
    listed = json.loads(run("users", "list", "--json").stdout)
    shown = {user["name"]: user for user in listed["users"]}
    assert shown["kim"]["role"] == "admin"
    assert (shown["lee"]["role"], shown["lee"]["sees_names"]) == ("operator", False)
    assert shown["lee"]["disabled_at"] is not None
    with closing(opened()) as database:
        found = db.people.find_user(database, "kim")
        actions = [entry.action for _, entry in db.audit.latest(database, limit=9)]
    assert found is not None
    assert is_password("a third long password", found[1])
    assert actions == [
        "user disabled", "password set", "user changed", "user added", "user added",
    ]  # fmt: skip


def test_whoever_disables_a_user_hears_of_a_token_of_the_same_name(run: Run) -> None:
    run("users", "add", "kim", given=PASSWORD + "\n")
    run("users", "token", "add", "kim")
    said = run("users", "disable", "kim").stdout
    assert "`dicom-node users token revoke kim`" in said
    run("users", "token", "revoke", "kim")
    assert "token" not in run("users", "disable", "kim").stdout


def test_a_token_is_shown_once_and_kept_as_a_digest(
    run: Run, opened: Callable[[], Database]
) -> None:
    made = run("users", "token", "add", "ris", "--role", "operator", "--days", "7")
    assert made.returncode == 0
    secret = made.stdout.strip()
    assert secret.startswith("dn_")
    assert secret not in run("users", "list", "--json").stdout
    with closing(opened()) as database:
        [token] = db.people.list_tokens(database)
    assert token.role is Role.OPERATOR
    assert token.expires_at is not None
    assert (token.expires_at - token.created_at).days == 7
    assert run("users", "token", "revoke", "ris").returncode == 0
    assert json.loads(run("users", "list", "--json").stdout)["tokens"] == []


@pytest.mark.parametrize(
    ("arguments", "given", "code", "named"),
    [
        (("add", "kim"), "short\n", 2, "12 to 256"),
        (("add", "kim smith"), PASSWORD, 2, "a name takes"),
        (("add", "kim", "--password-file", "absent"), "", 2, "--password-file"),
        (("passwd", "nobody"), PASSWORD, 1, "no user"),
        (("disable", "nobody"), "", 1, "no user"),
        (("set", "nobody", "--role", "admin"), "", 1, "no user"),
        (("set", "nobody"), "", 2, "say what to change"),
        (("token", "add", "ris", "--days", "36501"), "", 2, "up to 36500"),
        (("token", "revoke", "absent"), "", 1, "no token"),
        (("add", "kim", "--role", "root"), PASSWORD, 2, "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_named(
    run: Run, arguments: tuple[str, ...], given: str, code: int, named: str
) -> None:
    ended = run("users", *arguments, given=given)
    assert ended.returncode == code
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
    assert PASSWORD not in ended.stderr


def test_a_name_is_taken_once(run: Run) -> None:
    assert run("users", "add", "kim", given=PASSWORD).returncode == 0
    again = run("users", "add", "kim", given=PASSWORD)
    assert again.returncode == 1
    assert "users passwd" in again.stderr


def test_a_site_that_others_reach_needs_a_user_and_then_speaks_https(
    run: Run, run_apart: Run, tmp_path: Path, machine: Machine
) -> None:
    port = free_port()
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("web")
    token = tmp_path / "web.token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    (tmp_path / "node.toml").write_text(
        f'[web]\nhost = "0.0.0.0"\nport = {port}\ntoken_file = "web.token"\n'
        f'certificate = "{pair.certificate}"\nprivate_key = "{pair.key}"\n'
    )
    assert run("migrate").returncode == 0
    refused = run_apart("web")
    assert refused.returncode == 2
    assert "dicom-node users add NAME --role admin" in refused.stderr
    assert run("users", "add", "kim", "--role", "admin", given=PASSWORD).returncode == 0
    tool = machine.add(
        start_node(
            ["web", "--config", tmp_path / "node.toml"], log=tmp_path / "web.log"
        )
    )
    wait_until(
        lambda: accepts(port) or tool.process.poll() is not None, what="web listens"
    )
    assert tool.process.poll() is None, tool.output()
    context = ssl.create_default_context(cafile=str(authority.certificate))
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
    connection.request("GET", "/api/queues")
    response = connection.getresponse()
    assert response.status == 401
    assert "max-age" in (response.getheader("strict-transport-security") or "")
    connection.close()
