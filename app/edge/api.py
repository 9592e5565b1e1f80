"""The FastAPI application behind the gateway: `/_penstock/`."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from cachetools import LRUCache
from fastapi import Depends, FastAPI, Request

from app.edge.identity import Identity
from app.edge.jobs_view import JobView
from app.errors import TooManyRequests
from app.headers import value_of
from app.identity_token import IdentityTokens
from app.jobs.model import Headers, owner_of
from app.jobs.record import Records
from app.limiter.limiter import Limiter
from app.openapi import CALLER, CALLER_SCHEME, Components, DocumentedApi
from app.problem_handlers import add_problem_handlers
from app.rules.cache import RuleCache
from app.rules.match import Caller
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the routes use."""

    identity: Identity
    rules: RuleCache
    limiter: Limiter
    records: Records
    view: JobView
    identity_tokens: IdentityTokens
    settings: Settings
    poll_limit: "PollLimit"
    stopping: asyncio.Event


CALLERS = 10_000
"""How many callers' polls are counted; of more, the one that asked longest ago is forgotten."""


CLOCK_ERROR_S = 1e-6
"""What the arithmetic of times may make of nothing."""


class PollLimit:
    """At most so many requests a second from one caller, and a second's worth at once; counted in this edge."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._interval_s = 1 / per_s
        self._burst_s = max(1.0, self._interval_s)
        self._free_at_s: LRUCache[tuple[str, str], float] = LRUCache(CALLERS)

    def spend(self, caller: Caller) -> None:
        """Raises TooManyRequests."""
        owner = owner_of(caller.issuer, caller.subject)
        key = ("owner", owner) if owner else ("ip", caller.address)
        now = self._clock()
        free_at = max(now, self._free_at_s.get(key, 0.0)) + self._interval_s
        wait_s = free_at - self._burst_s - now
        if wait_s > CLOCK_ERROR_S:
            raise TooManyRequests("You ask too often.", retry_after_s=math.ceil(wait_s))
        self._free_at_s[key] = free_at


def parts_of(request: Request) -> ApiParts:
    """What `build_api` was given."""
    parts: ApiParts = request.app.state.parts
    return parts


@dataclass(slots=True)
class _Asking:
    peer: str
    headers: Headers
    authorization: bytes | None


async def caller_of(request: Request, parts: Annotated[ApiParts, Depends(parts_of)]) -> Caller:
    """Who asks, within the poll limit."""
    headers, client = request.scope["headers"], request.scope["client"]
    asking = _Asking(client[0] if client else "", headers, value_of(headers, b"authorization"))
    caller = await parts.identity.caller(asking)
    parts.poll_limit.spend(caller)
    return caller


PartsOf = Annotated[ApiParts, Depends(parts_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]


class EdgeApi(DocumentedApi):
    """Tokens are read by the code that the gateway has too."""

    def more_components(self) -> Components:
        """By kind and name."""
        return {"securitySchemes": {CALLER: CALLER_SCHEME}}


def build_api(parts: ApiParts) -> FastAPI:
    """The application with all routes."""
    from app.edge.routes import health, jobs, jwks, limits  # noqa: PLC0415 - they use the aliases above

    api = EdgeApi(
        title="Penstock",
        docs_url=None,
        redoc_url=None,
        openapi_url="/_penstock/openapi.json",
        redirect_slashes=False,
    )
    api.state.parts = parts
    for router in (jobs.router, limits.router, health.router, jwks.router):
        api.include_router(router, prefix="/_penstock")
    add_problem_handlers(api)
    return api
