"""Pages from templates: everything that is put into one is escaped."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

Furnish = Callable[[Request], Mapping[str, Any]]


@cache
def environment() -> Environment:
    """Return the environment, where filters can be added."""
    return make_environment(PackageLoader("dicom_node.web", "templates"))


def make_environment(loader: BaseLoader) -> Environment:
    """Return an environment that never reads a template a second time."""
    return Environment(
        loader=loader,
        auto_reload=False,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def load_all(templates: Environment) -> None:
    """Load every template now: an upgrade beside this process changes no page of it."""
    for name in templates.list_templates():
        templates.get_template(name)


def render(
    request: Request,
    name: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render a template, which also sees `user`, `csrf`, `path` and the furniture.

    `user` is a Visitor, None before the login. The furniture is what every page has,
    see `create_app`.
    """
    state = request.state
    furnish: Furnish = request.app.state.furnish
    text = (
        environment()
        .get_template(name)
        .render(
            user=getattr(state, "user", None),
            csrf=getattr(state, "csrf", ""),
            path=request.url.path,
            **furnish(request),
            **context,
        )
    )
    return HTMLResponse(text, status_code=status, headers=headers)
