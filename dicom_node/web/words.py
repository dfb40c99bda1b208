"""The words of the pages: one catalogue a language, chosen as the browser asks."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

LANGUAGES: Final = {"en": "English", "ko": "한국어"}
DEFAULT: Final = "en"
_MARKS: Final = ((re.compile("; "), "; "), (re.compile(r"\. (?=[A-Z0-9])"), ". "))
# What a site has named: a route called "refused" is no word of the node.
_NAMES: Final = frozenset({"route", "routes", "model", "destination", "ae"})
_QUALITY = re.compile(r"q=([01](?:\.\d{0,3})?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of the node, which it keeps in English, in another language.

    Args:
        pattern: of the English one; its groups fill `words`.
    """

    pattern: re.Pattern[str]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The words of one language."""

    language: str
    words: Mapping[str, str]
    sentences: tuple[Sentence, ...]

    def __call__(self, key: str, **values: object) -> str:
        """Return the words of a key with the values put in; of one thing, its singular.

        Raises:
            KeyError: there is no such key.
        """
        found = self.words[key]
        if values.get("n") == 1:
            found = self.words.get(f"{key}_one", found)
        return found.format(**values) if values else found

    def name(self, group: str, value: str) -> str:
        """Return the word for a value of the vocabulary, the value without one."""
        return self.words.get(f"{group}.{value}", value)

    def say(self, text: str) -> str:
        """Return a sentence of the node in this language, as it is where unknown.

        The parts of an enumeration ("; " or a full stop between them) are looked up
        one by one, and so is what a sentence is about.
        """
        known = self._known(text)
        if known is not None:
            return known
        for mark, between in _MARKS:
            parts = mark.split(text)
            if len(parts) > 1:
                return between.join(map(self.say, parts))
        return text

    def _known(self, text: str) -> str | None:
        if (finding := self.words.get(f"finding.{text}")) is not None:
            return finding
        # A reason that begins a report's sentence has a capital letter there.
        for asked in (text, text[:1].lower() + text[1:]):
            for sentence in self.sentences:
                found = sentence.pattern.fullmatch(asked)
                if found:
                    parts = found.groupdict("")
                    said = {
                        name: part if name in _NAMES else self.say(part)
                        for name, part in parts.items()
                    }
                    return sentence.words.format(**said)
        return None


@cache
def catalogue(language: str) -> Catalogue:
    """Read the catalogue of a language that there is."""
    file = resources.files("dicom_node.web").joinpath(f"words_{language}.toml")
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    sentences = [
        (item["english"], item["words"]) for item in document.pop("sentences", [])
    ]
    for more in ("terms", "sentences"):
        further = resources.files("dicom_node.web").joinpath(f"{more}_{language}.toml")
        if further.is_file():
            found = tomllib.loads(further.read_text(encoding="utf-8"))
            sentences += found["sentences"]
    return Catalogue(
        language=language,
        words={
            f"{group}.{key}": text
            for group, table in document.items()
            for key, text in table.items()
        },
        sentences=tuple(
            Sentence(pattern=re.compile(english), words=words)
            for english, words in sentences
        ),
    )


def choose_language(accept: str, *, wanted: str = "") -> str:
    """Return the language to show.

    Args:
        accept: the header Accept-Language (RFC 9110 12.5.4).
        wanted: what the reader chose by the switch, "" if nothing.
    """
    if wanted in LANGUAGES:
        return wanted
    offered: list[tuple[float, int, str]] = []
    for place, item in enumerate(accept[:500].split(",")):
        tag, _, parameters = item.partition(";")
        quality = _QUALITY.search(parameters)
        weight = float(quality[1]) if quality else 1.0
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > 0:
            offered.append((-weight, place, language))
    return min(offered)[2] if offered else DEFAULT
