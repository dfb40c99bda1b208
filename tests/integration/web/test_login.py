"""Who gets in, how long, and who is kept out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import db.audit
import db.people
from config.settings import Settings
from db.engine import Database
from dicom_node.core.people import Role
from dicom_node.web.csrf import csrf_token
from dicom_node.web.login import local_path
from tests.integration.web.browser import (
    NOW,
    PASSWORD,
    Browser,
    Served,
    add_token,
    add_user,
    bearer,
    serving_desk,
)

COOKIE = "dicom-node"
QUEUES = "/api/queues"


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    with serving_desk(database, tmp_path) as running:
        yield running


def _actions(database: Database) -> list[tuple[str, str]]:
    lines = db.audit.latest(database, limit=50)
    return [(entry.who, entry.action) for _, entry in reversed(lines)]


def test_who_logs_in_sees_the_page_until_the_logout(served: Served) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    assert browser.get(QUEUES).status == 401
    answer = browser.log_in("kim", next="/studies/1.2.3")
    assert (answer.status, answer.headers["location"]) == (303, "/studies/1.2.3")
    assert browser.get(QUEUES).status == 200
    held = dict(browser.cookies)
    browser.csrf = csrf_token(browser.cookies[COOKIE])
    assert browser.post("/logout").status == 303
    assert browser.get(QUEUES).status == 401
    assert Browser(port=served.port, cookies=held).get(QUEUES).status == 401
    assert _actions(served.database) == [("kim", "login"), ("kim", "logout")]


def test_a_page_asks_for_the_login_and_comes_back_after_it(served: Served) -> None:
    add_user(served.database, "kim")
    answer = served.browser().get("/?urgency=STAT")
    assert answer.status == 303
    assert answer.headers["location"] == "/login?next=%2F%3Furgency%3DSTAT"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("kim", "wrong horse battery"),
        ("nobody", PASSWORD),
        ("", ""),
        ("kim", "x" * 300),
    ],
)
def test_wrong_credentials_get_the_same_answer(
    served: Served, name: str, password: str
) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    answer = browser.log_in(name, password)
    assert answer.status == 403
    assert b"wrong" in answer.body
    assert PASSWORD.encode() not in answer.body
    assert browser.get(QUEUES).status == 401
    [(who, action)] = _actions(served.database)
    assert action == "login failed"
    assert who == ("kim" if name == "kim" else "unknown")


def test_a_disabled_user_is_out_at_once_and_cannot_come_back(served: Served) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    browser.log_in("kim")
    db.people.disable_user(served.database, "kim", now=NOW)
    assert browser.get(QUEUES).status == 401
    assert browser.log_in("kim").status == 403


def test_another_password_ends_the_sessions(served: Served) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    browser.log_in("kim")
    found = db.people.find_user(served.database, "kim")
    assert found is not None
    db.people.set_password(served.database, "kim", found[1])
    assert browser.get(QUEUES).status == 401


def test_a_changed_role_holds_from_the_next_request(served: Served) -> None:
    add_user(served.database, "kim", Role.ADMIN)
    browser = served.browser()
    browser.log_in("kim")
    assert browser.get("/api/audit").status == 200
    db.people.change_user(served.database, "kim", role=Role.VIEWER, sees_names=None)
    assert browser.get("/api/audit").status == 403


def test_a_cookie_that_was_planted_is_worth_nothing_after_the_login(
    served: Served,
) -> None:
    add_user(served.database, "kim")
    planted = "A" * 43
    victim = Browser(port=served.port, cookies={COOKIE: planted})
    assert victim.log_in("kim").status == 303
    assert victim.cookies[COOKIE] != planted
    attacker = Browser(port=served.port, cookies={COOKIE: planted})
    assert attacker.get(QUEUES).status == 401


def test_a_second_login_ends_the_first_session(served: Served) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    browser.log_in("kim")
    first = dict(browser.cookies)
    browser.csrf = csrf_token(browser.cookies[COOKIE])
    browser.post("/login", {"name": "kim", "password": PASSWORD})
    assert browser.cookies != first
    assert Browser(port=served.port, cookies=first).get(QUEUES).status == 401


def test_an_idle_session_ends_and_one_in_use_ends_in_the_evening(
    served: Served,
) -> None:
    add_user(served.database, "kim")
    idle, busy = served.browser(), served.browser()
    idle.log_in("kim")
    busy.log_in("kim")
    for _ in range(35):  # 35 times 20 minutes are less than 12 hours
        served.clock.pass_by(minutes=20)
        assert busy.get(QUEUES).status == 200
    assert idle.get(QUEUES).status == 401
    served.clock.pass_by(minutes=20)
    assert busy.get(QUEUES).status == 401


def test_the_cookie_is_for_this_site_alone(served: Served) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    browser.log_in("kim")
    for text in browser.set_cookies:
        attributes = {part.strip().lower() for part in text.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes


def test_behind_a_proxy_the_cookie_is_secure_and_bound_to_the_host(
    database: Database, tmp_path: Path
) -> None:
    settings = Settings.model_validate(
        {"web": {"port": 1, "behind_proxy": True, "token_file": "t"}}
    )
    with serving_desk(database, tmp_path, settings) as served:
        browser = served.browser()
        answer = browser.get("/login")
    [text] = browser.set_cookies
    assert text.startswith("__Host-dicom-node=")
    assert "; Secure" in text
    assert "strict-transport-security" in answer.headers


def test_a_page_behind_a_proxy_is_never_open(
    database: Database, tmp_path: Path
) -> None:
    settings = Settings.model_validate(
        {"web": {"port": 1, "behind_proxy": True, "token_file": "t"}}
    )
    with serving_desk(database, tmp_path, settings) as served:
        assert served.browser().get(QUEUES).status == 401


def test_through_a_proxy_that_nobody_announced_nobody_is_this_machine(
    served: Served,
) -> None:
    browser = served.browser()
    assert browser.get(QUEUES, X_Forwarded_For="10.0.0.1").status == 401
    assert browser.get(QUEUES).status == 200


def test_without_users_this_machine_may_operate_and_sees_no_names(
    served: Served,
) -> None:
    browser = served.browser()
    assert browser.get(QUEUES).status == 200
    assert browser.get("/api/audit").status == 403
    add_user(served.database, "kim")
    assert browser.get(QUEUES).status == 401


def test_an_open_page_is_not_for_another_sites_name(served: Served) -> None:
    """DNS rebinding: a name of the attacker's that resolves to this machine."""
    for host in ("evil.example", "localhost.evil.example", "[::2]", ""):
        assert served.browser(host=host).get(QUEUES).status == 421
    assert served.browser(host="localhost").get(QUEUES).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_of_another_origin_changes_nothing(
    served: Served, headers: dict[str, str]
) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    browser.log_in("kim")
    browser.csrf = csrf_token(browser.cookies[COOKIE])
    assert browser.post("/logout", headers=headers).status == 403
    assert browser.get(QUEUES).status == 200


@pytest.mark.parametrize("token", ["", "0" * 64, "ü"])
def test_a_form_without_the_right_token_changes_nothing(
    served: Served, token: str
) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    browser.log_in("kim")
    assert browser.post("/logout", {"csrf": token}).status == 403
    assert browser.get(QUEUES).status == 200


def test_a_login_form_is_not_taken_from_elsewhere(served: Served) -> None:
    add_user(served.database, "kim")
    fields = {"name": "kim", "password": PASSWORD}
    assert served.browser().post("/login", fields).status == 403
    browser = served.browser()
    browser.get("/login")
    headers = {"Origin": "https://evil.example"}
    assert browser.post("/login", fields, headers=headers).status == 403


def test_the_token_of_another_session_is_refused(served: Served) -> None:
    add_user(served.database, "kim")
    one, other = served.browser(), served.browser()
    one.log_in("kim")
    other.log_in("kim")
    one.csrf = csrf_token(other.cookies[COOKIE])
    assert one.post("/logout").status == 403


def test_guessing_is_slowed_down_and_the_right_password_waits_too(
    served: Served,
) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    statuses = [browser.log_in("kim", "wrong").status for _ in range(7)]
    assert statuses[:5] == [403] * 5
    assert statuses[-1] == 429
    answer = browser.log_in("kim")
    assert answer.status == 429
    served.clock.pass_by(seconds=int(answer.headers["retry-after"]))
    assert browser.log_in("kim").status == 303


def test_a_token_opens_the_api_until_it_expires_or_is_revoked(served: Served) -> None:
    until = NOW.replace(hour=13)
    secret = add_token(served.database, Role.VIEWER, expires_at=until)
    lasting = add_token(served.database, Role.OPERATOR)
    browser = served.browser()
    assert browser.get(QUEUES, **bearer(secret)).status == 200
    [_, used] = db.people.list_tokens(served.database)
    assert used.used_at == NOW
    served.clock.pass_by(hours=1)
    answer = browser.get(QUEUES, **bearer(secret))
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert browser.get(QUEUES, **bearer(lasting)).status == 200
    db.people.revoke_token(served.database, used.name.replace("viewer", "operator"))
    assert browser.get(QUEUES, **bearer(lasting)).status == 401


@pytest.mark.parametrize(
    "shown", ["Bearer", "Bearer ", "Bearer wrong", "Basic a2ltOng=", "\xff", "Bearer ü"]
)
def test_what_is_no_token_is_nobody_even_beside_a_good_cookie(
    served: Served, shown: str
) -> None:
    add_user(served.database, "kim")
    browser = served.browser()
    browser.log_in("kim")
    headers = {"Authorization": shown.encode("utf-8").decode("latin-1")}
    assert browser.ask("GET", QUEUES, headers=headers).status == 401


def test_passwords_and_tokens_are_nowhere_in_the_database(served: Served) -> None:
    add_user(served.database, "kim")
    secret = add_token(served.database, Role.VIEWER)
    browser = served.browser()
    browser.log_in("kim")
    dumped = []
    with served.database.read() as connection:
        for table in ("users", "api_tokens", "web_sessions", "audit"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608 - names of this test
            dumped.append(str(rows))
    text = "".join(dumped)
    assert "$argon2id$" in text
    for kept in (PASSWORD, secret, browser.cookies[COOKIE]):
        assert kept not in text


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "x",
        "/a\nb",
        "/é",
        "",
    ],
)
def test_the_login_leads_to_this_site_only(path: str) -> None:
    assert local_path(path) == "/"
    assert local_path("/studies/1.2.3?a=b") == "/studies/1.2.3?a=b"
