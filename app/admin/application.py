"""The admin API as one FastAPI application."""

from fastapi import FastAPI

from app.admin import dead_letters, drains, explain, rules
from app.admin.auth import Gatekeeper
from app.limiter.limiter import Limiter
from app.problem_handlers import add_problem_handlers
from app.queue.operations import Operations
from app.rules.cache import RuleCache
from app.rules.store import RuleStore


def build_admin(
    store: RuleStore, gatekeeper: Gatekeeper, rules_in_force: RuleCache, limiter: Limiter, operations: Operations
) -> FastAPI:
    """All routes of the admin API."""
    admin = FastAPI(title="Penstock admin", docs_url="/docs", redoc_url=None)
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
