"""What the tables of a card must agree on, and the codes that they name."""

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from inference.card_tables import (
    CardFile,
    ClassTable,
    ConceptTable,
    InputTable,
)

_LARGE = 10.0  # of a mean or deviation of pixels from 0 to 1
_SMALLEST_STD = 1e-6
_DIGITS = re.compile(r"[1-9][0-9]{5,17}")
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")
_UCUM = re.compile(r"[!-~]{1,16}")
# The Verhoeff scheme: the permutation of a place and the table of the dihedral group.
_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


class Disagreement(NamedTuple):
    """One fault between values that are each well formed.

    Args:
        places: the keys that it follows from, e.g. "input.mean".
    """

    places: tuple[str, ...]
    text: str


def disagreements(card: CardFile) -> Iterator[Disagreement]:
    """Name every pair of values of a card that cannot both hold."""
    yield from _network(card)
    yield from _input(card.input)
    yield from _classes(card)
    for index, item in enumerate(card.classes):
        yield from _class(card, item, f"classes.{index}")
    yield from _output(card)
    yield from _calibration(card)
    yield from _aggregation(card)
    low, high = card.scope.min_age_years, card.scope.max_age_years
    if low is not None and high is not None and low > high:
        yield _one("scope.min_age_years", "is above max_age_years")


def _one(place: str, text: str, *others: str) -> Disagreement:
    return Disagreement((place, *others), f"{place}: {text}")


def _network(card: CardFile) -> Iterator[Disagreement]:
    network = card.network
    if network.architecture is None and network.python_class is None:
        yield _one("network.architecture", "is missing", "network.python_class")
    if network.architecture is not None and network.python_class is not None:
        text = "say either architecture or python_class"
        yield _one("network.python_class", text, "network.architecture")
    if network.python_class is not None and network.options:
        yield _one("network.options", "are for an architecture of timm")


def _input(table: InputTable) -> Iterator[Disagreement]:
    for name, values in (("mean", table.mean), ("std", table.std)):
        if values and len(values) != table.channels:
            text = (
                f"{name} needs one value for each of the {table.channels} channels, "
                f"not {len(values)}"
            )
            yield _one(f"input.{name}", text, "input.channels")
    if any(value <= 0 for value in table.std):
        yield _one("input.std", "std must be above 0")
    yield from _scales(table)
    if not 0 <= table.percentiles[0] < table.percentiles[1] <= 100:
        yield _one("input.percentiles", "percentiles must rise within 0 to 100")
    if table.windowing == "model" and len(table.windows) not in {1, table.channels}:
        text = "windowing 'model' needs one window, or one per channel"
        yield _one("input.windows", text, "input.windowing", "input.channels")
    if table.windowing != "model" and table.windows:
        text = "windows are used with windowing 'model' only"
        yield _one("input.windows", text, "input.windowing")


def _scales(table: InputTable) -> Iterator[Disagreement]:
    """Find normalisations of pixels from 0 to 255, and those that overflow."""
    # A narrow window brought back to HU has a large mean too, and a tiny std.
    pairs = zip_longest(table.mean, table.std, fillvalue=1.0)
    large = [
        mean if mean > _LARGE else std
        for mean, std in pairs
        if std > _LARGE or (mean > _LARGE and std > 1 / _LARGE)
    ]
    if large:
        text = (
            f"{large[0]:g} is of pixels from 0 to 255; mean and std are of pixels "
            "from 0 to 1: divide both by 255"
        )
        yield _one("input.mean", text, "input.std")
    small = [std for std in table.std if 0 < std < _SMALLEST_STD]
    if small:
        text = f"{small[0]:g} leaves no finite number of a model input"
        yield _one("input.std", text)


def _classes(card: CardFile) -> Iterator[Disagreement]:
    if bool(card.classes) == (card.labels is not None):
        yield _one("classes", "say either [[classes]] or [labels]", "labels")
    if _repeated(item.name for item in card.classes):
        yield _one("classes", "two classes have the same name")
    reported = [item.concept for item in card.classes if item.report]
    if _repeated((item.scheme, item.value) for item in reported):
        yield _one("classes", "two reported classes have the same code")
    if card.classes and not reported:
        yield _one("classes", "no class has report = true")


def _repeated(values: Iterable[object]) -> bool:
    listed = list(values)
    return len(set(listed)) != len(listed)


def _class(card: CardFile, item: ClassTable, place: str) -> Iterator[Disagreement]:
    activation = "output.activation"
    if card.output.activation == "identity":
        yield from _measured(item, place)
    else:
        for name in ("unit", "lower", "upper"):
            if getattr(item, name) is not None:
                text = "is for activation 'identity'"
                yield _one(f"{place}.{name}", text, activation)
        for name in ("threshold", "undetermined_below"):
            value = getattr(item, name)
            if value is not None and not 0 <= value <= 1:
                yield _one(f"{place}.{name}", "must be a probability, 0 to 1")
    band, threshold = item.undetermined_below, item.threshold
    if band is not None and (threshold is None or band > threshold):
        text = "undetermined_below needs a threshold at or above it"
        yield _one(f"{place}.undetermined_below", text, f"{place}.threshold")


def _measured(item: ClassTable, place: str) -> Iterator[Disagreement]:
    if item.report and item.unit is None:
        text = "a measured value needs its unit, e.g. mm of UCUM"
        yield _one(f"{place}.unit", text, "output.activation")
    if item.unit is not None and item.unit.scheme != "UCUM":
        yield _one(f"{place}.unit.scheme", "a unit is a code of UCUM")
    low, high = item.lower, item.upper
    if low is not None and high is not None and low >= high:
        yield _one(f"{place}.lower", "must be below upper", f"{place}.upper")
        return
    for name in ("threshold", "undetermined_below"):
        value = getattr(item, name)
        below = value is not None and low is not None and value < low
        above = value is not None and high is not None and value > high
        if below or above:
            yield _one(f"{place}.{name}", "lies outside lower to upper")


def _output(card: CardFile) -> Iterator[Disagreement]:
    activation, top_k = card.output.activation, card.output.top_k
    number = len(card.classes)
    if activation == "softmax" and number == 1:
        text = "activation 'softmax' needs two classes or more"
        yield _one("output.activation", text, "classes")
    if card.classes and top_k is not None and top_k > number:
        yield _one("output.top_k", "top_k is above the number of classes", "classes")
    if activation == "identity" and top_k is not None:
        text = "top_k is for probabilities: values are not compared"
        yield _one("output.top_k", text, "output.activation")
    if activation == "identity" and card.labels is not None:
        yield _one("labels", "values need [[classes]] with units", "output.activation")


def _calibration(card: CardFile) -> Iterator[Disagreement]:
    table, activation = card.calibration, card.output.activation
    if table.method == "none" and (table.slope, table.intercept) != (1, 0):
        yield _one("calibration", "method 'none' has slope 1 and intercept 0")
    if table.method == "temperature" and table.intercept != 0:
        yield _one("calibration", "method 'temperature' has intercept 0")
    wanted = {"platt": ("sigmoid",), "linear": ("identity",)}.get(
        table.method, ("sigmoid", "softmax") if table.method != "none" else ()
    )
    if wanted and activation not in wanted:
        text = f"calibration '{table.method}' needs activation {_either(wanted)}"
        yield _one("calibration.method", text, "output.activation")


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def _aggregation(card: CardFile) -> Iterator[Disagreement]:
    table = card.aggregation
    for name in ("frames", "images"):
        if getattr(table, name) == "noisy_or" and card.output.activation == "identity":
            text = "'noisy_or' is for probabilities"
            yield _one(f"aggregation.{name}", text, "output.activation")
    if table.group_by == "laterality" and not all(
        item.site for item in card.classes if item.report
    ):
        # PS3.16 TID 1501: Laterality modifies the Finding Site.
        text = "'laterality' needs a site in each reported class: it is the site's side"
        yield _one("aggregation.group_by", text, "classes")


def code_faults(card: CardFile) -> Iterator[Disagreement]:
    """Name every code that cannot be one of its scheme: misspelt, most likely."""
    for index, item in enumerate(card.classes):
        for name in ("concept", "site", "unit"):
            concept = getattr(item, name)
            fault = _code_fault(concept) if concept is not None else ""
            if fault:
                yield _one(f"classes.{index}.{name}", fault)


def _code_fault(concept: ConceptTable) -> str:
    """Say what is wrong with the form of a code: digits and check digits.

    Source: SNOMED International TIG (Verhoeff), LOINC Users' Guide (mod 10).
    """
    value, scheme = concept.value, concept.scheme
    if scheme == "SCT" and not (_DIGITS.fullmatch(value) and _verhoeff(value)):
        return "is no code of SCT: its check digit does not fit"
    if scheme == "LN" and _LOINC.fullmatch(value) and not _mod10(value):
        return "is no code of LN: its check digit does not fit"
    if scheme == "UCUM" and not _UCUM.fullmatch(value):
        return "is no code of UCUM: write e.g. mm, mm2, [hnsf'U], 1"
    return ""


def _verhoeff(digits: str) -> bool:
    """Whether the check digit of an SCTID fits."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        permuted = int(digit)
        for _ in range(place % 8):
            permuted = _PERMUTATION[permuted]
        check = _dihedral(check, permuted)
    return check == 0


def _dihedral(a: int, b: int) -> int:
    """Multiply in the dihedral group of the pentagon."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b - 5) % 5
    return 5 + (a - 5 - b) % 5 if b < 5 else (a - b) % 5


def _mod10(code: str) -> bool:
    """Whether the check digit of a LOINC code fits (Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(code.replace("-", ""))):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
