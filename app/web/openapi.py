"""What both OpenAPI documents share: problem details, the headers of responses, and models of request bodies."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

Responses = dict[int | str, dict[str, Any]]
Components = Mapping[str, Mapping[str, dict[str, Any]]]
"""By kind (`schemas`, `securitySchemes`), then by name."""

REFERENCE = "#/components/schemas/{model}"
CACHE_CONTROL = "Cache-Control"
NO_STORE: dict[str, Any] = {
    "description": "The response must not be cached.",
    "schema": {"const": "no-store"},
    "required": True,
}
RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "description": "Whole seconds after which the request may be repeated.",
        "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "required": True,
    }
}
CHALLENGE: dict[str, Any] = {
    "WWW-Authenticate": {
        "description": '`Bearer realm="penstock"` without a token, `Bearer error="invalid_token"` with an invalid one.',
        "schema": {"type": "string", "pattern": "^Bearer "},
        "required": True,
    }
}
_HEADERS: Mapping[int, dict[str, Any]] = {401: CHALLENGE, 429: RETRY_AFTER, 503: RETRY_AFTER}
SERVER_PROBLEMS = (400, 408, 413, 414, 429, 431, 501, 503)
"""The problems that the HTTP server answers before a request reaches its route, whatever the route is."""


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(description="A URI that identifies the kind of problem; `about:blank` if the status says it all.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="An explanation for the person who sent the request.")


def problems(*statuses: int) -> Responses:
    """For `responses=` of a route: the statuses that have problem details."""
    content = {"application/problem+json": {"schema": {"$ref": REFERENCE.format(model=Problem.__name__)}}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": content,
            "headers": _HEADERS.get(status, {}),
        }
        for status in statuses
    }


def json_request(
    model: str, *media_types: str, examples: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """For `openapi_extra=`: a body that the route parses itself. `model` is one of the application's components."""
    content: dict[str, Any] = {"schema": {"$ref": REFERENCE.format(model=model)}}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": dict.fromkeys(media_types or ("application/json",), content)}}


def bearer(optional: bool = True) -> dict[str, Any]:
    """For `openapi_extra=`: the caller's token, which FastAPI does not read."""
    return {"security": [*([{}] if optional else []), {CALLER: []}]}


CALLER = "caller"
CALLER_SCHEME: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A token of your issuer. If PENSTOCK_AUTH allows it, callers without one are identified by address.",
}


class DocumentedApi(FastAPI):
    """Adds to FastAPI's OpenAPI document the components that routes only refer to, and what all routes answer with.

    A problem that many routes answer with is described once, in `components/responses`.
    """

    def more_components(self) -> Components:
        """The components that routes refer to by name."""
        return {}

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, which is built once."""
        if self.openapi_schema is None:
            document = super().openapi()
            components = document.setdefault("components", {})
            components["schemas"] = components.get("schemas", {}) | schemas_of(Problem)
            for kind, named in self.more_components().items():
                components[kind] = components.get(kind, {}) | named
            components["headers"] = components.get("headers", {}) | {CACHE_CONTROL: NO_STORE}
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"] = _complete(operation["responses"], components)
        return self.openapi_schema or {}


def _complete(responses: dict[str, dict[str, Any]], components: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Add what every route answers with, and refer to what many have in common, which becomes a component."""
    server_problems = {str(status): described for status, described in problems(*SERVER_PROBLEMS).items()}
    completed = {}
    for status in [*responses, *(status for status in server_problems if status not in responses)]:
        response = responses.get(status, server_problems.get(status, {}))
        if status in server_problems:
            response["content"] = server_problems[status]["content"] | response.get("content", {})
        completed[status] = _shared(status, _with_own_headers(response), components)
    return completed


def _with_own_headers(response: dict[str, Any]) -> dict[str, Any]:
    own = {CACHE_CONTROL: {"$ref": f"#/components/headers/{CACHE_CONTROL}"}}
    return response | {"headers": own | response.get("headers", {})}


def _shared(status: str, response: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A reference to the component, if a route answers with nothing but a problem; else the response itself."""
    if not status.isdecimal() or response != _with_own_headers(problems(int(status))[int(status)]):
        return response
    name = re.sub(r"[^A-Za-z]", "", HTTPStatus(int(status)).phrase)
    components.setdefault("responses", {})[name] = response
    return {"$ref": f"#/components/responses/{name}"}


def schemas_of(*models: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The schemas of these models and of the models that they contain, by name."""
    found: dict[str, dict[str, Any]] = {}
    for model in models:
        schema = model.model_json_schema(ref_template=REFERENCE)
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found
