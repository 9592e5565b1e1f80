"""`/v1/operations`: long work on all that a filter finds. It goes on when the admin process ends."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import JSONResponse

from app.admin.rest.auth import AsOperator, AsViewer
from app.admin.rest.bodies import body_as
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS
from app.admin.services.operations_model import DryRun, OperationDocument, OperationPage, OperationRequest
from app.web.openapi import Responses, json_request, problems

router = APIRouter(prefix="/operations", tags=["operations"])

ID_PATTERN = "^[0-9a-f]{24}$"
MAX_PAGE_SIZE = 100
EXAMPLES: dict[str, dict[str, Any]] = {
    "replay": {
        "kind": "replay_dead_letters",
        "filter": {"rule_id": "per-user", "response_status": 503, "failed_after": "2026-03-01T09:00:00Z"},
        "rate_per_s": 200,
    },
    "dry run": {"kind": "delete_dead_letters", "filter": {"code": "expired"}, "dry_run": True},
    "purge": {"kind": "purge_jobs", "filter": {"rule_id": "per-user"}},
}
_STARTED: dict[str, Any] = {
    "description": "The operation is under way.",
    "headers": {
        "Location": {
            "description": "Where the operation is.",
            "required": True,
            "schema": {"type": "string", "pattern": "^(/[^?#]+)?/v1/operations/[0-9a-f]{24}$"},
        }
    },
}

_DRY_RUN = {"model": DryRun, "description": "What it would touch, where `dry_run` was asked for."}
_RESPONSES: Responses = {202: _STARTED, 200: _DRY_RUN, **problems(*COMMON_PROBLEMS, 409, *BODY_PROBLEMS)}

RequestBody = Annotated[OperationRequest, Depends(body_as(OperationRequest))]
OperationId = Annotated[str, Path(pattern=ID_PATTERN)]


@router.post(
    "",
    status_code=202,
    response_model=OperationDocument,
    responses=_RESPONSES,
    openapi_extra=json_request(OperationRequest.__name__, examples=EXAMPLES),
)
async def start_operation(operator: AsOperator, parts: AdminPartsOf, wanted: RequestBody) -> Response:
    """Do something to all jobs that a filter finds now; with `dry_run` only count them.

    What fails or comes later is not part of it. At most `rate_per_s` jobs a second are touched.
    """
    started = await parts.operations.start(operator, wanted.root)
    document = started.model_dump(mode="json")
    if isinstance(started, DryRun):
        return JSONResponse(document)
    return JSONResponse(document, 202, {"Location": f"{parts.base_path}/v1/operations/{started.id}"})


@router.get("", responses=problems(*COMMON_PROBLEMS))
async def list_operations(
    operator: AsViewer,
    parts: AdminPartsOf,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = 20,
    after: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
) -> OperationPage:
    """List operations, newest first: those under way, and those that have ended within 30 days."""
    return await parts.operations.page(operator, limit, after)


@router.get("/{operation_id}", responses=problems(*COMMON_PROBLEMS, 404))
async def get_operation(operation_id: OperationId, operator: AsViewer, parts: AdminPartsOf) -> OperationDocument:
    """Show an operation and how far it has come."""
    return await parts.operations.get(operator, operation_id)


@router.delete("/{operation_id}", status_code=202, responses=problems(*COMMON_PROBLEMS, 404, 409))
async def cancel_operation(operation_id: OperationId, operator: AsOperator, parts: AdminPartsOf) -> OperationDocument:
    """Cancel an operation. What has been done stays; nothing more is done once its state is `canceled`."""
    return await parts.operations.cancel(operator, operation_id)
