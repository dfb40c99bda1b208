"""The examples of the handbook are settings that fit together."""

import re
import tomllib
from pathlib import Path
from typing import Any

from config.settings import Settings

PACS = Path(__file__).resolve().parents[3] / "docs" / "pacs.md"


def test_the_examples_of_the_pacs_page_make_one_configuration() -> None:
    settings: dict[str, Any] = {}
    for block in re.findall(r"```toml\n(.*?)```", PACS.read_text(), re.DOTALL):
        for name, table in tomllib.loads(block).items():
            if isinstance(table, list):
                settings.setdefault(name, []).extend(table)
            else:
                settings.setdefault(name, {}).update(table)
    first, *others = settings["destinations"]
    settings["destinations"] = [
        first,
        *({**other, "name": f"far {n}"} for n, other in enumerate(others)),
        {"name": "archive", "kind": "folder", "folder": "outbox"},
    ]
    settings["node"]["host"] = "0.0.0.0"
    read = Settings.model_validate(settings)
    assert read.tls.port == 2762
    assert len(read.peers) == 4
    assert read.called[0].destinations == ("archive",)
