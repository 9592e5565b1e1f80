"""The admin API as one FastAPI application."""

from fastapi import FastAPI

from app.admin import drains, rules
from app.admin.auth import Gatekeeper
from app.problem_handlers import add_problem_handlers
from app.rules.store import RuleStore


def build_admin(store: RuleStore, gatekeeper: Gatekeeper) -> FastAPI:
    """All routes of the admin API."""
    admin = FastAPI(title="Penstock admin", docs_url="/docs", redoc_url=None)
    admin.state.store = store
    admin.state.gatekeeper = gatekeeper
    admin.include_router(rules.router, prefix="/v1")
    admin.include_router(drains.router, prefix="/v1")
    add_problem_handlers(admin)
    return admin
