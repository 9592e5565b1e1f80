"""The FastAPI application that serves `/_penstock/` behind the gateway."""

from typing import Any

from fastapi import FastAPI

from app.edge.routes import health, jobs, jwks, limits
from app.edge.routes.dependencies import ApiParts
from app.web.openapi import CALLER, CALLER_SCHEME, Components, DocumentedApi
from app.web.problem_handlers import add_problem_handlers


class EdgeApi(DocumentedApi):
    """The edge's own API. It authenticates callers by the same code as the gateway."""

    def more_components(self) -> Components:
        """The security scheme of callers, by kind and name."""
        return {"securitySchemes": {CALLER: CALLER_SCHEME}}


def build_api(parts: ApiParts) -> FastAPI:
    """Build the application with all its routes."""
    api = _api()
    api.state.parts = parts
    add_problem_handlers(api, parts.on_unavailable)
    return api


def edge_document() -> dict[str, Any]:
    """Return the OpenAPI document, for which no store is needed."""
    return _api().openapi()


def _api() -> EdgeApi:
    api = EdgeApi(
        title="Penstock",
        docs_url=None,
        redoc_url=None,
        openapi_url="/_penstock/openapi.json",
        redirect_slashes=False,
    )
    for router in (jobs.router, limits.router, health.router, jwks.router):
        api.include_router(router, prefix="/_penstock")
    return api
