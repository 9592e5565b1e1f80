"""What both OpenAPI documents say alike: problem details, the headers of answers, models of bodies read by hand."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

Responses = dict[int | str, dict[str, Any]]
Components = Mapping[str, Mapping[str, dict[str, Any]]]
"""By kind (`schemas`, `securitySchemes`), then by name."""

REFERENCE = "#/components/schemas/{model}"
NO_STORE: dict[str, Any] = {
    "Cache-Control": {"description": "No cache keeps it.", "schema": {"const": "no-store"}, "required": True}
}
RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "description": "Whole seconds after which another try may be worth it.",
        "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "required": True,
    }
}
CHALLENGE: dict[str, Any] = {
    "WWW-Authenticate": {
        "description": 'What is missing: `Bearer realm="penstock"`; what is wrong: `Bearer error="invalid_token"`.',
        "schema": {"type": "string", "pattern": "^Bearer "},
        "required": True,
    }
}
_HEADERS: Mapping[int, dict[str, Any]] = {401: CHALLENGE, 429: RETRY_AFTER, 503: RETRY_AFTER}


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(description="A URI that names the kind of problem; `about:blank`: the status says it all.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="For the person who caused it.")


def problems(*statuses: int) -> Responses:
    """For `responses=`: the statuses that a route may answer with problem details."""
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
    """For `openapi_extra=`: a body that the route reads by itself, of a model that the application names."""
    content: dict[str, Any] = {"schema": {"$ref": REFERENCE.format(model=model)}}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": dict.fromkeys(media_types or ("application/json",), content)}}


def bearer(optional: bool = True) -> dict[str, Any]:
    """For `openapi_extra=`: the caller's token, which the gateway's own code reads."""
    return {"security": [*([{}] if optional else []), {CALLER: []}]}


CALLER = "caller"
CALLER_SCHEME: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A token of your issuer. Without one, where PENSTOCK_AUTH allows it, the client's address counts.",
}


class DocumentedApi(FastAPI):
    """Adds to its document what FastAPI can't know: what is only referred to, and the headers of every answer."""

    def more_components(self) -> Components:
        """What its routes refer to by name."""
        return {}

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            components = document.setdefault("components", {})
            components["schemas"] = components.get("schemas", {}) | schemas_of(Problem)
            for kind, named in self.more_components().items():
                components[kind] = components.get(kind, {}) | named
            for operations in document["paths"].values():
                for operation in operations.values():
                    for answer in operation["responses"].values():
                        answer["headers"] = NO_STORE | answer.get("headers", {})
        return self.openapi_schema or {}


def schemas_of(*models: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The schemas of these models, and of what they are made of, by name."""
    found: dict[str, dict[str, Any]] = {}
    for model in models:
        schema = model.model_json_schema(ref_template=REFERENCE)
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found
