"""`/v1/flows` and `/v1/flow-settings`: shows, pauses and purges flows, and sets their rates."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from app.admin.rest.auth import AsOperator, AsViewer
from app.admin.rest.bodies import body_as
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS
from app.admin.services.flows_model import (
    Flow,
    FlowPage,
    FlowPurge,
    FlowQuery,
    FlowRateFields,
    FlowSettingPage,
    FlowSettings,
)
from app.queue.operations import PURGE_CURSOR
from app.rules.temporary import MAX_FOR_S
from app.web.openapi import json_request, problems

router = APIRouter(tags=["flows"])

FlowId = Annotated[str, Path(min_length=1, max_length=8192, description="The flow's `id`.")]
ForSeconds = Annotated[
    int | None,
    Query(ge=1, le=MAX_FOR_S, description="How long it holds; then what was set before holds again."),
]
RateBody = Annotated[FlowRateFields, Depends(body_as(FlowRateFields))]

SET = problems(*COMMON_PROBLEMS, 404, 409)


@router.get("/flows", responses=problems(*COMMON_PROBLEMS))
async def list_flows(operator: AsViewer, parts: AdminPartsOf, query: Annotated[FlowQuery, Query()]) -> FlowPage:
    """List flows: the deepest first, or those that have waited longest, or by rule.

    `descriptor` selects flows that are charged to it, whichever rule counts it. Which flows there are is looked at
    every few seconds; `as_of` says when. Pages that follow one another (`after`) are of the same look.
    """
    return await parts.flows.page(operator, query)


@router.get("/flows/{flow_id}", responses=problems(*COMMON_PROBLEMS, 404))
async def get_flow(flow_id: FlowId, operator: AsViewer, parts: AdminPartsOf) -> Flow:
    """Show one flow as it is now."""
    return await parts.flows.get(operator, flow_id)


@router.post("/flows/{flow_id}/purge", responses=problems(*COMMON_PROBLEMS, 404))
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


@router.post("/flows/{flow_id}/pause", responses=SET)
async def pause_flow(
    flow_id: FlowId, operator: AsOperator, parts: AdminPartsOf, for_seconds: ForSeconds = None
) -> FlowSettings:
    """Pause a flow: it accepts jobs and sends none until it is resumed, whatever restarts and whatever rules change.

    It holds for the flow's caller under its rule, or for all flows that share its counter where the id names no caller.
    What is already being sent goes on.
    """
    return await parts.flow_settings.set_paused(operator, flow_id, paused=True, for_seconds=for_seconds)


@router.post("/flows/{flow_id}/resume", responses=SET)
async def resume_flow(flow_id: FlowId, operator: AsOperator, parts: AdminPartsOf) -> FlowSettings:
    """Resume a flow that was paused by itself."""
    return await parts.flow_settings.set_paused(operator, flow_id, paused=False)


@router.put(
    "/flows/{flow_id}/rate",
    responses=SET | problems(*BODY_PROBLEMS),
    openapi_extra=json_request(FlowRateFields.__name__),
)
async def set_flow_rate(
    flow_id: FlowId, operator: AsOperator, parts: AdminPartsOf, rate: RateBody, for_seconds: ForSeconds = None
) -> FlowSettings:
    """Set the rate of a flow, also while jobs wait in it. It takes the place of the rule's drain rate.

    All other limits hold as well: the rule's own where it has no drain rate, and those of every other rule.
    """
    return await parts.flow_settings.set_rate(operator, flow_id, rate, for_seconds)


@router.delete("/flows/{flow_id}/rate", responses=SET)
async def delete_flow_rate(flow_id: FlowId, operator: AsOperator, parts: AdminPartsOf) -> FlowSettings:
    """Remove the rate of a flow: it drains as its rule says."""
    return await parts.flow_settings.unset_rate(operator, flow_id)


@router.get("/flow-settings", responses=problems(*COMMON_PROBLEMS))
async def list_flow_settings(
    operator: AsViewer, parts: AdminPartsOf, after: Annotated[int, Query(ge=0, lt=1 << 64)] = 0
) -> FlowSettingPage:
    """List the flows that are paused or have a rate of their own, also those without jobs."""
    return await parts.flow_settings.page(operator, after)
