"""The admin API as one FastAPI application."""

from fastapi import FastAPI
from starlette.middleware import Middleware

from app.admin.composition import AdminParts
from app.admin.rest import (
    audit,
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
    """Return the application with all routes of the admin API. `on_unavailable` is told of each answer 503."""
    admin = AdminApi(
        title="Penstock admin",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(OwnHeadersMiddleware), Middleware(HeadAsGetMiddleware)],
    )
    admin.state.parts = parts
    for area in (rules, preview, drains, flows, jobs, dead_letters, operations, explain, audit, status, sign_in):
        admin.include_router(area.router, prefix="/v1")
    admin.include_router(documentation.router)
    add_problem_handlers(admin, on_unavailable)
    return admin
