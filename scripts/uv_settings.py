"""Print pip's settings on this machine as arguments of `env ... uv pip install ...`.

A hospital's mirror, proxy and authority are set for pip; uv reads none of that.
Usage: python -m pip config list | python scripts/uv_settings.py env|options
"""

import ast
import os
import sys
from collections.abc import Iterable, Iterator

_OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
_VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
# What pip asks in this order, the last one winning; `pip install` reads no other.
_SECTIONS = ("global", "install", ":env:")


def read(lines: Iterable[str]) -> dict[str, str]:
    """Return pip's settings by name, from what `pip config list` prints."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in lines:
        key, equals, value = line.strip().partition("=")
        section, _, name = key.rpartition(".")
        if equals and section in found:
            found[section][name] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def options(settings: dict[str, str]) -> Iterator[str]:
    """Yield uv's options: every index counts alike, as it does for pip."""
    for name, option in _OPTIONS.items():
        for value in settings.get(name, "").split():
            yield f"{option}={value}"
    if settings.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        yield "--no-index"
    yield "--index-strategy=unsafe-best-match"


def variables(settings: dict[str, str]) -> Iterator[str]:
    """Yield NAME=value; what is set for uv already stays."""
    yield "UV_SYSTEM_CERTS=" + os.environ.get("UV_SYSTEM_CERTS", "true")
    for name, variable in _VARIABLES.items():
        if name in settings and variable not in os.environ:
            yield f"{variable}={settings[name]}"


def main() -> None:
    """Print one argument a line."""
    settings = read(sys.stdin)
    wanted = options(settings) if sys.argv[1:] == ["options"] else variables(settings)
    print("\n".join(wanted))


if __name__ == "__main__":
    main()
