"""`/v1/flows`: lists and shows flows, and cancels what waits in one."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.admin.rest.auth import AsOperator, AsViewer
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import COMMON_PROBLEMS
from app.admin.services.flows_model import Flow, FlowPage, FlowPurge, FlowQuery
from app.queue.operations import PURGE_CURSOR
from app.web.openapi import problems

router = APIRouter(prefix="/flows", tags=["flows"])

FlowId = Annotated[str, Path(min_length=1, max_length=8192, description="The flow's `id`.")]


@router.get("", responses=problems(*COMMON_PROBLEMS))
async def list_flows(operator: AsViewer, parts: AdminPartsOf, query: Annotated[FlowQuery, Query()]) -> FlowPage:
    """List flows: the deepest first, or those that have waited longest, or by rule.

    `descriptor` selects flows that are charged to it, whichever rule counts it. Which flows there are is looked at
    every few seconds; `as_of` says when. Pages that follow one another (`after`) are of the same look.
    """
    return await parts.flows.list(operator, query)


@router.get("/{flow_id}", responses=problems(*COMMON_PROBLEMS, 404))
async def get_flow(flow_id: FlowId, operator: AsViewer, parts: AdminPartsOf) -> Flow:
    """Show one flow as it is now."""
    return await parts.flows.get(operator, flow_id)


@router.post("/{flow_id}/purge", responses=problems(*COMMON_PROBLEMS, 404))
async def purge_flow(
    flow_id: FlowId,
    operator: AsOperator,
    parts: AdminPartsOf,
    after: Annotated[str | None, Query(pattern=PURGE_CURSOR)] = None,
) -> FlowPurge:
    """Cancel the jobs that wait in one flow. Jobs that are already being sent are not affected.

    One request cancels at most 20000 jobs; `next` says whether there may be more.
    """
    return await parts.flows.purge(operator, flow_id, after)
