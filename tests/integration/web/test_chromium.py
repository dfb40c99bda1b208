"""The pages in a real browser, at the width of a desk and of a phone."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import select

from db.engine import Database
from db.tables import versions
from dicom_node.core.states import Urgency
from inference.pixels import faults
from tests.browser import running_browser
from tests.integration.db.samples import (
    after,
    enter,
    received,
    route_study,
    with_header,
)
from tests.integration.web.browser import Served, serving_desk
from tests.integration.web.studies import EVIL, enter_study, fail_delivery, finish
from tests.peers import wait_until
from tests.unit.web.test_pictures import write_image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

SIZES = [(1280, 900), (390, 844)]
NUMBER = "CR20261123-04178"  # as long as an Accession Number may be


@pytest.fixture
def engine() -> str:
    """One engine: what a browser shows of a page is the same for both (`test_html`)."""
    return "sqlite"


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """One browser for the module."""
    with running_browser() as browser:
        yield browser


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    """A site with three studies; each a CT slice, the one on top a dead letter."""
    top = enter_study(database, "2.25.1", accession=EVIL, at=0)
    finish(database, top, urgency=Urgency.STAT)
    fail_delivery(database)
    enter_study(database, "2.25.2", accession="ACC-2", at=1)
    enter_study(database, "2.25.3", accession="ACC-3", at=2)
    _write_images(database, tmp_path)
    with serving_desk(database, tmp_path) as running:
        yield running


def _write_images(database: Database, folder: Path) -> None:
    with database.read() as connection:
        keys = connection.execute(select(versions.c.file_key)).scalars().all()
    for key in keys:
        write_image(folder).rename(folder / key)


class Reader:
    """A page in the browser that takes down what its console says."""

    def __init__(self, browser: "Browser", served: Served, **options: Any) -> None:
        self.said: list[str] = []
        self.context = browser.new_context(
            base_url=f"http://127.0.0.1:{served.port}", **options
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))

    def _listen(self, message: "ConsoleMessage") -> None:
        if message.type == "error":  # what the content policy refuses is one
            self.said.append(message.text)


@pytest.fixture
def reader(chromium: "Browser", served: Served) -> Iterator[Reader]:
    """Somebody at a desk."""
    found = Reader(chromium, served)
    yield found
    found.context.close()
    assert found.said == []


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_no_page_is_wider_than_its_window_or_breaks_the_content_policy(
    chromium: "Browser", served: Served, size: tuple[int, int], locale: str
) -> None:
    width, height = size
    reader = Reader(
        chromium,
        served,
        viewport={"width": width, "height": height},
        locale=locale,
    )
    for path in ("/", "/studies/2.25.1", "/queues", "/models", "/health", "/login"):
        reader.page.goto(path)
        wide = reader.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, path
        assert reader.page.get_by_role("main").count() == 1
        assert reader.page.get_by_role("heading", level=1).count() == 1
    reader.context.close()
    assert reader.said == []


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_the_longest_description_makes_no_list_wider(
    chromium: "Browser", served: Served, size: tuple[int, int]
) -> None:
    wide = with_header(
        received("2.25.8", at=after(3)),
        accession_number=NUMBER,
        study_description="W" * 64,
    )
    enter(served.database, wide)
    reader = Reader(chromium, served, viewport={"width": size[0], "height": size[1]})
    for path in ("/?show=all", "/studies/2.25.8"):
        reader.page.goto(path)
        assert reader.page.get_by_text("W" * 64).first.is_visible()
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    reader.context.close()


def test_a_whole_accession_number_stands_on_one_line(
    chromium: "Browser", served: Served
) -> None:
    enter_study(served.database, "2.25.9", accession=NUMBER, at=3)
    reader = Reader(chromium, served, viewport={"width": 1280, "height": 900})
    reader.page.goto("/")
    lines = reader.page.get_by_role("link", name=NUMBER).evaluate(
        "link => link.getClientRects().length"
    )
    reader.context.close()
    assert lines == 1
    assert reader.said == []


def test_a_study_that_comes_in_appears_by_itself_and_is_announced(
    reader: Reader, served: Served
) -> None:
    reader.page.goto("/?show=all")
    reader.page.get_by_role("link", name="ACC-2").focus()
    enter_study(served.database, "2.25.9", accession="ACC-9", at=3)
    reader.page.get_by_role("link", name="ACC-9").wait_for(timeout=20_000)
    assert "4" in reader.page.get_by_role("status").first.inner_text()
    focused = reader.page.evaluate("document.activeElement.textContent")
    assert focused == "ACC-2"  # where the reader was
    reader.page.get_by_role("button", name="Pause").click()
    assert reader.page.locator("#live-state").inner_text() == "Paused"


def test_the_list_is_read_by_keyboard_alone(reader: Reader) -> None:
    page = reader.page
    page.goto("/?show=all")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("jg")  # letters belong to the box
    assert page.locator("#q").input_value() == "jg"
    page.locator("#q").blur()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "ACC-3"
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/2.25.2")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/queues")


def test_shortcuts_can_be_turned_off(reader: Reader) -> None:
    page = reader.page
    page.goto("/")
    page.keyboard.press("?")
    page.get_by_role("checkbox", name="Single-letter shortcuts").uncheck()
    page.reload()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") != "q"


def _shown(page: "Page") -> "np.ndarray[Any, Any]":
    """Return the canvas as grey values."""
    numbers = page.evaluate(
        """() => { const canvas = document.querySelector(".stage canvas");
        const { data } = canvas.getContext("2d").getImageData(
          0, 0, canvas.width, canvas.height);
        return Array.from(data).filter((_, place) => place % 4 === 0); }"""
    )
    return np.array(numbers).reshape(64, 64)


def test_the_canvas_shows_each_preset_as_the_server_draws_it(reader: Reader) -> None:
    from io import BytesIO

    from PIL import Image

    page = reader.page
    page.goto("/studies/2.25.1")
    page.locator(".stage canvas").wait_for()
    place = page.locator(".stage").get_attribute("data-levels")
    assert place is not None
    for key in ("file-1", "lung", "bone", "full"):
        page.locator(f'[data-preset="{key}"]').click()
        button = page.locator(f"[data-preset='{key}']")
        wait_until(
            partial(_is_pressed, button), what="the preset is chosen", every=0.02
        )
        answer = page.request.get(place.replace("levels", f"picture.png?preset={key}"))
        drawn = np.asarray(Image.open(BytesIO(answer.body()))).astype(int)
        assert np.abs(_shown(page) - drawn).max() <= 1, key


def _is_pressed(button: "Locator") -> bool:
    return button.get_attribute("aria-pressed") == "true"


def test_the_window_is_changed_by_dragging_and_by_arrows(reader: Reader) -> None:
    page = reader.page
    page.goto("/studies/2.25.1")
    canvas = page.locator(".stage canvas")
    canvas.wait_for()
    width = page.locator("output[for=width]")
    assert width.inner_text() == "400"
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 100)
    page.mouse.up()
    wait_until(lambda: float(width.inner_text()) > 400, what="a wider window")
    wide = float(width.inner_text())
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    wait_until(lambda: float(width.inner_text()) < wide, what="a narrower window")
    page.keyboard.press("r")
    wait_until(lambda: width.inner_text() == "400", what="the window of before")


def test_a_dead_letter_is_sent_again_with_one_click(
    reader: Reader, served: Served
) -> None:
    page = reader.page
    page.goto("/studies/2.25.1")
    page.get_by_role("button", name="Send again").click()
    page.wait_for_url("**/studies/2.25.1")
    assert page.get_by_role("button", name="Send again").count() == 0
    assert served.woken == ["deliver"]


@pytest.mark.parametrize(
    ("locale", "says"), [("en-GB", "cannot be shown"), ("ko-KR", "표시할 수 없음")]
)
def test_an_image_whose_decoder_ends_its_process_is_a_tile_that_says_so(
    chromium: "Browser",
    served: Served,
    tmp_path: Path,
    locale: str,
    says: str,
) -> None:
    with served.database.read() as connection:
        keys = connection.execute(select(versions.c.file_key)).scalars().all()
    for key in keys:
        write_image(tmp_path, np.zeros((37, 8), np.int16)).rename(tmp_path / key)
    faults.arm("decode-crash:37")
    reader = Reader(chromium, served, locale=locale, java_script_enabled=False)
    page = reader.page
    try:
        page.goto("/studies/2.25.1")
        image = page.locator(".stage img")
        page.wait_for_load_state("load")
        width = image.evaluate("image => image.naturalWidth")
    finally:
        faults.arm("decode-crash:65535")
    source = image.get_attribute("src")
    assert source is not None
    asked = {"Accept": "image/*", "Accept-Language": locale}
    told = page.request.get(source, headers=asked)
    assert says in told.text()
    assert "SIGSEGV" in told.text()
    assert width == 320  # the tile
    assert page.request.get("/healthz").ok
    reader.context.close()
    assert reader.said == []


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_a_study_that_no_route_took_is_run_again_by_keyboard(
    chromium: "Browser", served: Served, tmp_path: Path, size: tuple[int, int]
) -> None:
    one = enter_study(served.database, "2.25.7", accession="ACC-7", at=3)
    route_study(served.database, one, at=4)
    _write_images(served.database, tmp_path)
    reader = Reader(chromium, served, viewport={"width": size[0], "height": size[1]})
    page = reader.page
    page.goto("/studies/2.25.7")
    button = page.get_by_role("button", name="Run again")
    described = button.evaluate(
        "button => document.getElementById(button.getAttribute('aria-describedby'))"
        ".textContent"
    )
    assert "rules" in described
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies/2.25.7?done=run")
    assert "runs again" in page.get_by_role("status").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.get_by_role("button", name="Run again").count() == 0
    assert served.woken == ["work"]
    reader.context.close()
    assert reader.said == []


def test_without_scripts_the_list_the_image_and_the_retry_are_there(
    chromium: "Browser", served: Served
) -> None:
    reader = Reader(chromium, served, java_script_enabled=False)
    page = reader.page
    page.goto("/")
    page.get_by_role("link", name=EVIL).click()
    image = page.locator(".stage img")
    image.wait_for()
    page.wait_for_load_state("load")
    box = image.bounding_box()
    assert box is not None
    assert box["width"] >= 64
    assert page.get_by_role("link", name="Lung").is_visible()
    page.get_by_role("button", name="Send again").click()
    assert served.woken == ["deliver"]
    reader.context.close()
