"""What asks the site as a browser does: with cookies, forms and an origin."""

import http.client
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

import db.people
from config.settings import Settings
from db.engine import Database
from dicom_node.core.ids import StudyId
from dicom_node.core.people import ApiToken, Role, User
from dicom_node.listening import listen
from dicom_node.site import assemble
from dicom_node.web.desk import Desk, PatientKey
from dicom_node.web.limits import InMemory, LoginLimits
from dicom_node.web.pages import Contents
from dicom_node.web.passwords import hash_password
from dicom_node.web.server import page_place, serve_pages
from dicom_node.web.sessions import digest
from tests.integration.web.site import Answer, good, no_backlog, show
from tests.peers import accepts, wait_until

PASSWORD = "correct horse battery"  # noqa: S105 - the test's own
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_CSRF_FIELD = re.compile(rb'name="csrf"\s+value="([0-9a-f]{64})"')


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.at

    def pass_by(self, **span: float) -> None:
        """Let time pass."""
        self.at += timedelta(**span)

    def monotonic(self) -> float:
        """Return the seconds that passed."""
        return (self.at - NOW).total_seconds()


@dataclass(kw_only=True)
class Browser:
    """One browser with its cookies."""

    port: int
    host: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)
    csrf: str = ""

    @property
    def origin(self) -> str:
        """Return the origin of the site's own pages."""
        return f"http://{self.host}:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and keep the cookies of its answer."""
        shown = {"Host": f"{self.host}:{self.port}", **(headers or {})}
        if self.cookies:
            shown["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=shown)
            response = connection.getresponse()
            given = response.headers.get_all("set-cookie") or []
            self.set_cookies.extend(given)
            for text in given:
                name, _, value = text.partition(";")[0].partition("=")
                self.cookies[name] = value.strip('"')
            answer = Answer(
                status=response.status,
                headers={k.lower(): v for k, v in response.getheaders()},
                body=response.read(),
            )
        finally:
            connection.close()
        if found := _CSRF_FIELD.search(answer.body):
            self.csrf = found[1].decode()
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """Follow a link; `_` in a header's name is "-"."""
        return self.ask("GET", path, headers=_named(headers))

    def post(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a form of the last page."""
        sent = {"csrf": self.csrf, **(fields or {})}
        shown = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self.origin,
            "Sec-Fetch-Site": "same-origin",
            **(headers or {}),
        }
        return self.ask("POST", path, body=urlencode(sent).encode(), headers=shown)

    def log_in(self, name: str, password: str = PASSWORD, **fields: str) -> Answer:
        """Open the login page and send its form."""
        self.get("/login")
        return self.post("/login", {"name": name, "password": password, **fields})


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def bearer(secret: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {secret}"}


@cache
def _hash() -> str:
    return hash_password(PASSWORD)


def add_user(
    database: Database, name: str, role: Role = Role.VIEWER, *, sees_names: bool = False
) -> User:
    """Add a user with the password of the tests."""
    new = db.people.NewUser(
        name=name, role=role, sees_names=sees_names, password_hash=_hash()
    )
    return db.people.add_user(database, new, now=NOW)


def add_token(
    database: Database,
    role: Role,
    *,
    sees_names: bool = False,
    expires_at: datetime | None = None,
) -> str:
    """Add an API token; return it."""
    secret = f"dn_{role}-{sees_names}-{'x' * 30}"
    token = ApiToken(
        name=f"{role}-{sees_names}",
        role=role,
        sees_names=sees_names,
        created_at=NOW,
        expires_at=expires_at,
    )
    db.people.add_token(database, token, digest=digest(secret))
    return secret


@dataclass(kw_only=True)
class Served:
    """A site that runs, and what its tests turn."""

    port: int
    clock: SetClock
    database: Database
    patients: dict[tuple[PatientKey, str], Collection[StudyId]]
    woken: list[str]

    def browser(self, **options: str) -> Browser:
        """Return a browser that has not been here."""
        return Browser(port=self.port, **options)  # type: ignore[arg-type]  # any option, by its name


@contextmanager
def serving_desk(
    database: Database, folder: Path, settings: Settings | None = None
) -> Iterator[Served]:
    """Serve the whole site over this database until the block ends."""
    clock, woken = SetClock(), list[str]()
    patients: dict[tuple[PatientKey, str], Collection[StudyId]] = {}
    desk = Desk(
        settings=settings or Settings.model_validate({"web": {"port": 0}}),
        database=database,
        clock=clock,
        instance_path=lambda key: folder / key,
        report_path=lambda key: folder / key,
        find_by_patient=lambda kind, value: patients.get((kind, value), ()),
        list_models=tuple,
        wake=woken.append,
    )
    contents = Contents(
        checks={"database": good},
        backlog=no_backlog,
        metrics=show,
        metrics_type="text/plain",
    )
    app = assemble(desk, contents, limits=LoginLimits(InMemory(clock.monotonic)))
    listener = listen(page_place("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    stop = threading.Event()
    thread = threading.Thread(
        target=serve_pages, args=(app, listener), kwargs={"stopped": stop.is_set}
    )
    thread.start()
    try:
        wait_until(lambda: accepts(port), what="the site listens", seconds=20)
        yield Served(
            port=port, clock=clock, database=database, patients=patients, woken=woken
        )
    finally:
        stop.set()
        thread.join(20)
