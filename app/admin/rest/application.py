"""The admin API and the dashboard as one FastAPI application."""

from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from app.admin.composition import AdminParts
from app.admin.rest import (
    audit,
    dashboard,
    dead_letters,
    documentation,
    drains,
    explain,
    flows,
    jobs,
    operations,
    preview,
    rules,
    sign_in,
    status,
)
from app.admin.rest.base_path import BasePathMiddleware
from app.admin.rest.bulk import bulk_schemas
from app.admin.rest.schemas import RULE_FIELDS, Restored, rule_schemas
from app.admin.services.explain_model import ExplainRequest
from app.admin.services.operations_model import OperationRequest
from app.web.head_requests import HeadAsGetMiddleware
from app.web.openapi import Components, DocumentedApi, schemas_of
from app.web.problem_handlers import OnUnavailable, OwnHeadersMiddleware, add_problem_handlers


class AdminApi(DocumentedApi):
    """The application. Its document includes the schemas of bodies that routes parse by themselves."""

    def more_components(self) -> Components:
        """Return components of the OpenAPI document by kind and name."""
        return {
            "schemas": rule_schemas()
            | bulk_schemas(RULE_FIELDS)
            | schemas_of(Restored, ExplainRequest, dead_letters.DeadLetterSelection, OperationRequest)
            | schemas_of(sign_in.TicketRedemption, sign_in.OidcRedemption)
        }


def build_admin(parts: AdminParts, on_unavailable: OnUnavailable | None = None) -> FastAPI:
    """Return the application with all routes of the admin API, and the dashboard for all other paths.

    `on_unavailable` is told of each answer 503.
    """
    admin = _api(parts.base_path)
    admin.state.parts = parts
    add_problem_handlers(admin, on_unavailable)
    return admin


def admin_document() -> dict[str, Any]:
    """Return the OpenAPI document, for which no store is needed."""
    return _api(base_path="").openapi()


def _api(base_path: str) -> AdminApi:
    admin = AdminApi(
        title="Penstock admin",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(OwnHeadersMiddleware),
            Middleware(HeadAsGetMiddleware),
            Middleware(BasePathMiddleware, base_path),
        ],
    )
    for area in (rules, preview, drains, flows, jobs, dead_letters, operations, explain, audit, status, sign_in):
        admin.include_router(area.router, prefix="/v1")
    admin.include_router(documentation.router)
    admin.router.default = dashboard.dashboard
    return admin
