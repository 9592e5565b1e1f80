"""The FastAPI application behind the gateway: `/_penstock/`."""

from fastapi import FastAPI

from app.edge.routes import health, jobs, jwks, limits
from app.edge.routes.dependencies import ApiParts
from app.web.openapi import CALLER, CALLER_SCHEME, Components, DocumentedApi
from app.web.problem_handlers import add_problem_handlers


class EdgeApi(DocumentedApi):
    """Tokens are read by the code that the gateway has too."""

    def more_components(self) -> Components:
        """By kind and name."""
        return {"securitySchemes": {CALLER: CALLER_SCHEME}}


def build_api(parts: ApiParts) -> FastAPI:
    """The application with all routes."""
    api = EdgeApi(
        title="Penstock",
        docs_url=None,
        redoc_url=None,
        openapi_url="/_penstock/openapi.json",
        redirect_slashes=False,
    )
    api.state.parts = parts
    for router in (jobs.router, limits.router, health.router, jwks.router):
        api.include_router(router, prefix="/_penstock")
    add_problem_handlers(api)
    return api
