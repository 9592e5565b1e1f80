"""The dependencies of the routes below `/_penstock/`: the parts of the edge, and the authenticated caller."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.edge.job_renderer import JobRenderer
from app.edge.poll_limit import PollLimit
from app.identity.authentication import Authenticator
from app.identity.caller import Caller
from app.identity.identity_token import IdentityTokens
from app.limiter.limiter import Limiter
from app.queue.records import Records
from app.rules.cache import RuleCache
from app.settings import Settings
from app.web.headers import Headers, value_of
from app.web.problem_handlers import OnUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """The parts of the edge that the routes use. Construct it with keyword arguments."""

    authenticator: Authenticator
    rules: RuleCache
    limiter: Limiter
    records: Records
    job_renderer: JobRenderer
    identity_tokens: IdentityTokens
    settings: Settings
    poll_limit: PollLimit
    on_unavailable: OnUnavailable
    draining: asyncio.Event


def parts_of(request: Request) -> ApiParts:
    """The parts that `build_api` was given."""
    parts: ApiParts = request.app.state.parts
    return parts


@dataclass(slots=True)
class _ApiCredentials:
    peer: str
    headers: Headers
    authorization: bytes | None


PartsOf = Annotated[ApiParts, Depends(parts_of)]


async def uncounted_caller_of(request: Request, parts: PartsOf) -> Caller:
    """Authenticate the caller. The route itself counts the request against the caller's poll limit."""
    headers, client = request.scope["headers"], request.scope["client"]
    credentials = _ApiCredentials(client[0] if client else "", headers, value_of(headers, b"authorization"))
    return await parts.authenticator.authenticate(credentials)


UncountedCallerOf = Annotated[Caller, Depends(uncounted_caller_of)]


async def caller_of(caller: UncountedCallerOf, parts: PartsOf) -> Caller:
    """Authenticate the caller and count the request against its poll limit."""
    parts.poll_limit.spend(caller)
    return caller


CallerOf = Annotated[Caller, Depends(caller_of)]
