"""The pages' words, colours and templates, held against their own rules."""

import re
import string
from pathlib import Path

import pytest

import dicom_node.web
from db import why
from dicom_node.web.words import LANGUAGES, catalogue, choose_language

WEB = Path(dicom_node.web.__file__).parent
TEMPLATES = sorted((WEB / "templates").glob("*.html"))


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_the_same_values_to_put_in(
    language: str,
) -> None:
    english, other = catalogue("en").words, catalogue(language).words
    assert other.keys() == english.keys()
    differing = [key for key in other if _fields(other[key]) != _fields(english[key])]
    assert differing == []


def test_every_key_that_a_template_or_page_names_is_in_the_catalogue() -> None:
    words = catalogue("en").words
    texts = [path.read_text() for path in [*TEMPLATES, *WEB.glob("*.py")]]
    named = {
        key
        for text in texts
        for key in re.findall(r"""\bt\(\s*["']([a-z_]+\.[A-Za-z_]+)["']\s*[,)]""", text)
    }
    assert len(named) > 150
    assert named - words.keys() == set()


@pytest.mark.parametrize(
    ("accept", "wanted", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "", "ko"),
        ("en;q=0.5, ko;q=0.9", "", "ko"),
        ("fr, ko;q=0", "", "en"),
        ("", "", "en"),
        ("*", "", "en"),
        ("en", "ko", "ko"),
        ("ko", "xx", "ko"),
        ("q=;;;,,ko-;q=x", "", "ko"),
    ],
)
def test_the_language_is_the_readers_choice_or_what_the_browser_asks_for_most(
    accept: str, wanted: str, language: str
) -> None:
    assert choose_language(accept, wanted=wanted) == language


def test_a_sentence_of_the_node_is_told_in_korean_and_its_values_are_kept() -> None:
    korean = catalogue("ko")
    why = "no route matched: route 'chest': Modality is MR; the route asks for CR or DX"
    assert korean.say(why) == (
        "해당 경로 없음: 경로 'chest': Modality 값은 MR; 경로 조건은 CR 또는 DX"
    )
    assert korean.say("Pneumonia 0.93 at or above 0.59") == "폐렴 0.93, 기준 0.59 이상"
    assert korean.say("nothing that is known {x}") == "nothing that is known {x}"


def test_what_the_site_has_named_keeps_its_name_in_korean() -> None:
    korean = catalogue("ko")
    for text in ("refused", "without a reason"):
        assert korean.say(text) != text
        assert f"'{text}'" in korean.say(f"route '{text}': Modality is missing")
        assert f"'{text}'" in korean.say(f"the model '{text}' waits for its turn")
    together = korean.say("no route matched: routes 'refused', 'b': Modality is MR")
    assert together == "해당 경로 없음: 경로 'refused', 'b': Modality 값은 MR"


@pytest.mark.parametrize(
    "remedy", [text for name, text in vars(why).items() if name.endswith("_REMEDY")]
)
def test_what_to_do_is_told_in_korean(remedy: str) -> None:
    assert "십시오" in catalogue("ko").say(remedy)


def test_what_a_model_does_not_cover_is_told_in_korean() -> None:
    korean = catalogue("ko")
    old = "Patient's Age is 64 years; the model covers 1 to 5 years"
    assert korean.say(old) == "환자 나이(Patient's Age) 값은 64세; 모델 대상은 1~5세"
    both = (
        "Body Part Examined is KNEE; the model covers CHEST. "
        "View Position is missing; the model covers PA and AP"
    )
    assert korean.say(both) == (
        "부위(Body Part Examined) 값은 KNEE; 모델 대상은 CHEST. "
        "방향(View Position) 값 없음; 모델 대상은 PA, AP"
    )
    assert korean.say("associations are taken") == "연결 요청을 받음"


def test_templates_hold_nothing_that_the_content_policy_refuses() -> None:
    for path in TEMPLATES:
        text = path.read_text()
        assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|<style", text), path
        assert not re.search(r"<script(?! src=\"/static/)", text), path
        assert not re.search(r"(src|href)=\"(https?:)?//", text), path
        assert "|safe" not in text, path


def _luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_text_has_the_contrast_of_wcag_aa(theme: str) -> None:
    css = (WEB / "static" / "page.css").read_text()
    blocks = dict(
        re.findall(r"^(:root|\[data-theme=\"light\"\]) \{(.*?)\}", css, re.M | re.S)
    )
    block = blocks[":root" if theme == "dark" else '[data-theme="light"]']
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for text in ("text", "muted", "link", "stat", "urgent", "good", "bad"):
        for ground in ("ground", "surface", "raised"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert _contrast(colours["text"], colours["button"]) >= 4.5
    assert _contrast(colours["ground"], colours["link"]) >= 4.5  # the login's button
    for graphic in ("focus", "fill", "over"):
        assert _contrast(colours[graphic], colours["surface"]) >= 3, graphic
    assert _contrast(colours["mark"], colours["over"]) >= 2


def test_one_thing_is_told_in_the_singular() -> None:
    english = catalogue("en")
    told = [
        english("event_text.refused_images", n=n, calling="CT1", reason="x")
        for n in (1, 2)
    ]
    assert told == ["1 image of CT1: x", "2 images of CT1: x"]
    plural = [key for key in english.words if f"{key}_one" in english.words]
    for key in plural:
        fields = dict.fromkeys(_fields(english.words[key]), "x") | {"n": 1}
        assert not re.search(r"\b1 \w+s\b", english(key, **fields)), key
