"""The admin API as one FastAPI application."""

from fastapi import FastAPI
from starlette.middleware import Middleware

from app.admin import dead_letters, drains, explain, rules
from app.admin.auth import Gatekeeper
from app.admin.schemas import rule_schemas
from app.limiter.limiter import Limiter
from app.queue.operations import Operations
from app.rules.cache import RuleCache
from app.rules.store import RuleStore
from app.web.openapi import Components, DocumentedApi, schemas_of
from app.web.problem_handlers import NeverCached, add_problem_handlers


class AdminApi(DocumentedApi):
    """With the schemas of the bodies that its routes read strictly."""

    def more_components(self) -> Components:
        """By kind and name."""
        return {"schemas": rule_schemas() | schemas_of(explain.ExplainRequest, dead_letters.Which)}


def build_admin(
    store: RuleStore, gatekeeper: Gatekeeper, rules_in_force: RuleCache, limiter: Limiter, operations: Operations
) -> FastAPI:
    """All routes of the admin API."""
    admin = AdminApi(
        title="Penstock admin",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(NeverCached)],
    )
    admin.state.store = store
    admin.state.gatekeeper = gatekeeper
    admin.state.rules = rules_in_force
    admin.state.limiter = limiter
    admin.state.operations = operations
    admin.include_router(rules.router, prefix="/v1")
    admin.include_router(drains.router, prefix="/v1")
    admin.include_router(dead_letters.router, prefix="/v1")
    admin.include_router(explain.router, prefix="/v1")
    add_problem_handlers(admin)
    return admin
