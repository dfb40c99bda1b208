"""How one operation of the API is described."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dicom_node.core.people import Role
from dicom_node.web.api_params import Param
from dicom_node.web.openapi_schemas import Schema, refer

_JSON: Final = "application/json"
_CSRF: Final = {
    "name": "X-CSRF-Token",
    "in": "header",
    "required": False,
    "description": "of the page, for a browser; not with a bearer token",
    "schema": {"type": "string"},
}
_REFUSALS: Final = {
    400: "a parameter does not fit",
    401: "neither a valid token nor a login",
    403: "the role does not reach",
    413: "the request has a body that is too large",
    421: "the page is not known by the name in the Host header",
    431: "the address and the headers are too long together",
    503: "the database does not answer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address.

    Args:
        answer: schema of 200.
        refusals: beside those of every operation, by status.
        media_type: of 200.
        leads_to: operations, their parameter, and where the answer has its value.
        error: media type and schema of a refusal.
    """

    path: str
    name: str
    text: str
    answer: Schema
    path_params: Sequence[Param] = ()
    query: Sequence[Param] = ()
    changes: bool = False
    role: Role | None = Role.VIEWER
    refusals: Sequence[tuple[int, str]] = ()
    media_type: str = _JSON
    leads_to: Sequence[tuple[str, Param, str]] = ()
    error: tuple[str, Schema] = (_JSON, refer("Error"))


def describe_operation(one: Operation) -> dict[str, Any]:
    """Return the Operation Object of OpenAPI 3.1."""
    parameters = [_parameter(param, "path") for param in one.path_params]
    parameters += [_parameter(param, "query") for param in one.query]
    if one.changes:
        parameters.append(_CSRF)
    refusals = {**_REFUSALS, **dict(one.refusals)}
    if one.changes:
        refusals[415] = "the body is no form"
    answers: dict[str, Any] = {
        str(status): _refusal(one, status, text) for status, text in refusals.items()
    }
    answers["200"] = {
        "description": "done" if one.changes else "found",
        "content": {one.media_type: {"schema": one.answer}},
    }
    if one.leads_to:
        answers["200"]["links"] = {
            name: {
                "operationId": name,
                "parameters": {param.name: f"$response.body{place}"},
            }
            for name, param, place in one.leads_to
        }
    return {
        "operationId": one.name,
        "summary": one.text,
        "description": f"Takes the role {one.role}." if one.role else "For everybody.",
        "parameters": parameters,
        "responses": answers,
        "security": [{"token": []}] if one.role else [],
    }


def _parameter(param: Param, place: str) -> dict[str, Any]:
    schema = dict(param.schema)
    if param.default is not None:
        schema["default"] = param.default
    return {
        "name": param.name,
        "in": place,
        "required": place == "path",
        "description": param.text,
        "schema": schema,
    }


def _refusal(one: Operation, status: int, text: str) -> dict[str, Any]:
    plain = status in (
        413,
        421,
        431,
    )  # the guard's, before anybody knows who wants JSON
    content = {"text/plain": {"schema": {"type": "string"}}}
    if not plain:
        media_type, schema = one.error
        content = {media_type: {"schema": schema}}
    return {"description": text, "content": content}
