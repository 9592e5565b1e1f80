"""`/v1/explain`: explains what would be decided about a request. It spends nothing."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.admin.rest.auth import AsViewer
from app.admin.rest.bodies import body_as
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS
from app.admin.services.explain_model import ExplainRequest, Explanation
from app.web.openapi import json_request, problems

router = APIRouter(tags=["explain"])


@router.post(
    "/explain",
    responses=problems(*COMMON_PROBLEMS, *BODY_PROBLEMS),
    openapi_extra=json_request(ExplainRequest.__name__),
)
async def explain(
    operator: AsViewer, parts: AdminPartsOf, request: Annotated[ExplainRequest, Depends(body_as(ExplainRequest))]
) -> Explanation:
    """Explain which rules apply to a request, what is left of each, and the decision. This spends nothing."""
    return await parts.explain.explain(operator, request)
