"""`/v1/audit`: who changed what, by which face, from what to what."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.admin.rest.auth import AsViewer
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import COMMON_PROBLEMS
from app.admin.services.audit_model import AuditPage, AuditQuery
from app.web.openapi import problems

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", responses=problems(*COMMON_PROBLEMS))
async def list_audit(operator: AsViewer, parts: AdminPartsOf, query: Annotated[AuditQuery, Query()]) -> AuditPage:
    """List who changed what, newest first. What is written past the admin API is in the history of rules only."""
    return await parts.audit.page(operator, query)
