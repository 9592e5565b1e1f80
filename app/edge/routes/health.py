"""`/_penstock/healthz` and `/_penstock/readyz`."""

import asyncio

from fastapi import APIRouter, Response

from app.edge.documents import Health, Readiness
from app.edge.routes.dependencies import PartsOf
from app.process.troubles import read_troubles
from app.web.problem_handlers import response_of
from app.web.problems import json_reply

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """Answer that the process is alive."""
    return response_of(json_reply(200, {"status": "ok"}))


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(parts: PartsOf) -> Response:
    """Answer whether the edge is ready: it knows the rules and is not shutting down.

    A store that can't be reached does not count, because it would take every edge out of the load balancer.
    """
    ready = parts.rules.has_rules and not parts.draining.is_set()
    file = parts.settings.runtime_file
    fields = {
        "status": "ready" if ready else "not ready",
        "rules_version": parts.rules.version,
        "down": [] if file is None else await asyncio.to_thread(read_troubles, file),
    }
    return response_of(json_reply(200 if ready else 503, fields))
