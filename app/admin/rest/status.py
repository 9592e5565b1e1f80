"""`/v1/status` and `/v1/events`: how the installation is, once and as server-sent events, and how it was lately."""

from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.admin.rest.auth import AsViewer
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.services.status import StatusSnapshot
from app.admin.services.status_model import Status, StatusHistory
from app.web.head_requests import IS_HEAD
from app.web.openapi import problems

EVENT_STREAM = "text/event-stream"

router = APIRouter(tags=["status"])


@router.get("/status", responses=problems(400, 401, 403, 503))
async def get_status(operator: AsViewer, parts: AdminPartsOf) -> Status:
    """Return how the installation is: processes, rules, stores, backlog, rates, app servers, and what is wrong."""
    return await parts.status.status(operator)


@router.get("/status/history", responses=problems(400, 401, 403, 503))
async def get_status_history(operator: AsViewer, parts: AdminPartsOf) -> StatusHistory:
    """Return what charts show of the last ten minutes: a sample of each status that this process has gathered, at most
    one a second. It gathers only while somebody watches or asks, so there are gaps."""
    return parts.status.history(operator)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events of the type `status`; the data of each is what `/v1/status` answers.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        **problems(400, 401, 403, 429, 503),
    },
)
async def watch_status(operator: AsViewer, parts: AdminPartsOf, request: Request) -> Response:
    """Watch how the installation is: an event once a second. The stream ends when the token expires, after five minutes
    at the latest, and then the client connects again."""
    if IS_HEAD in request.scope:
        return Response(media_type=EVENT_STREAM)
    watched = parts.status.watch(operator)
    return StatusEvents(await anext(watched), watched)


class StatusEvents(StreamingResponse):
    """The answer to a viewer. It ends the watching, however the viewer goes."""

    def __init__(self, first: StatusSnapshot, watched: AsyncGenerator[StatusSnapshot]) -> None:
        super().__init__(_events(first, watched), media_type=EVENT_STREAM)
        self._watched = watched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the watching ends or the client is gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._watched.aclose()


async def _events(first: StatusSnapshot, watched: AsyncIterator[StatusSnapshot]) -> AsyncIterator[str]:
    yield _event(first)
    async for snapshot in watched:
        yield _event(snapshot)


def _event(snapshot: StatusSnapshot) -> str:
    return f"event: status\ndata: {snapshot.json}\n\n"
