"""config/example.toml is the full configuration, and the node accepts it."""

import re
import tomllib
from typing import get_args

from pydantic import BaseModel

from config.load import load
from config.settings import Settings
from tests.peers import PROJECT

EXAMPLE = PROJECT / "config" / "example.toml"
LISTS = {"called", "peers", "destinations", "routes"}


def test_the_example_is_accepted() -> None:
    loaded = load(EXAMPLE, environment={})
    assert loaded.settings.routes[0].model == "cxr-pneumonia"
    assert loaded.settings.routes[0].when.modality == ("CR", "DX")


def test_the_example_with_every_comment_taken_off_is_accepted_too() -> None:
    text = re.sub(r"^# (?=\[\[|[a-z_]+ = )", "", EXAMPLE.read_text(), flags=re.M)
    settings = Settings.model_validate(tomllib.loads(text))
    kinds = [item.kind for item in settings.destinations]
    assert kinds == ["dicom", "folder", "stow", "hl7", "fhir", "webhook"]
    assert settings.routes[0].when.max_age_years == 5


def test_the_example_shows_the_defaults() -> None:
    written = tomllib.loads(EXAMPLE.read_text())
    defaults = Settings().model_dump(mode="json")
    for table in defaults.keys() - LISTS:
        for key, value in written[table].items():
            default = defaults[table][key]
            if isinstance(value, dict):  # keys without a default are comments
                default = {name: default[name] for name in value}
            assert default == value, f"{table}.{key}"


def test_the_example_names_every_setting() -> None:
    text = EXAMPLE.read_text()
    for model in _tables(Settings):
        for key in model.model_fields:
            assert re.search(rf"^(# )?(\[*(\w+\.)?)?{key}\b", text, flags=re.M), (
                f"{model.__name__}.{key}"
            )


def _tables(model: type[BaseModel]) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += _tables(kind)
    return found
