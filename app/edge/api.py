"""The FastAPI application behind the gateway: `/_penstock/`."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

from cachetools import LRUCache
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.edge.identity import Identity, TooManyBadTokens
from app.edge.jobs_view import JobView
from app.edge.request import read_request
from app.errors import PenstockError
from app.identity_token import IdentityTokens
from app.jobs.record import Records
from app.limiter.redis_limiter import RedisLimiter
from app.problems import Reply, of_error, problem, retry_after
from app.rules.cache import RuleCache
from app.rules.match import Caller
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the routes use."""

    identity: Identity
    rules: RuleCache
    limiter: RedisLimiter
    records: Records
    view: JobView
    identity_tokens: IdentityTokens
    settings: Settings
    poll_limit: "PollLimit"
    stopping: asyncio.Event


class TooManyPolls(PenstockError):
    """One caller asks about its jobs too often."""


class PollLimit:
    """At most so many requests a second from one caller, and a second's worth at once; counted in this edge."""

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1 / per_s
        self._free_at_s: LRUCache[str, float] = LRUCache(10_000)

    def spend(self, caller: Caller) -> None:
        """Raises TooManyPolls."""
        key = f"user:{caller.issuer}:{caller.subject}" if caller.subject else f"ip:{caller.address}"
        now = time.monotonic()
        free_at = max(now, self._free_at_s.get(key, 0.0)) + self._interval_s
        if free_at - 1.0 > now:
            raise TooManyPolls("You ask too often.")
        self._free_at_s[key] = free_at


def parts_of(request: Request) -> ApiParts:
    """What `build_api` was given."""
    parts: ApiParts = request.app.state.parts
    return parts


async def caller_of(request: Request, parts: Annotated[ApiParts, Depends(parts_of)]) -> Caller:
    """Who asks, within the poll limit."""
    caller = await parts.identity.caller(read_request(request.scope, request.receive))
    parts.poll_limit.spend(caller)
    return caller


PartsOf = Annotated[ApiParts, Depends(parts_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]


def response_of(reply: Reply) -> Response:
    """A reply of ours as Starlette sends it."""
    response = Response(reply.body, reply.status)
    response.raw_headers = list(reply.headers)
    return response


def build_api(parts: ApiParts) -> FastAPI:
    """The application with all routes."""
    from app.edge.routes import health, jobs, jwks, limits  # noqa: PLC0415 - they use the aliases above

    api = FastAPI(title="Penstock", docs_url=None, redoc_url=None, openapi_url="/_penstock/openapi.json")
    api.state.parts = parts
    for router in (jobs.router, limits.router, health.router, jwks.router):
        api.include_router(router, prefix="/_penstock")
    api.add_exception_handler(PenstockError, _on_error)
    api.add_exception_handler(HTTPException, _on_http_error)
    api.add_exception_handler(RequestValidationError, _on_invalid)
    return api


async def _on_error(_: Request, error: Exception) -> Response:
    if isinstance(error, TooManyPolls | TooManyBadTokens):
        return response_of(problem(429, str(error), [retry_after(1)]))
    assert isinstance(error, PenstockError), "registered for these alone"
    return response_of(of_error(error))


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for these alone"
    headers = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return response_of(problem(error.status_code, str(error.detail), headers))


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for these alone"
    first = error.errors()[0]
    return response_of(problem(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"))
