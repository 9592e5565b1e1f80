"""Who may do what in the admin API: a bearer token of its own audience, and a role."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from fastapi import Depends, Request

from app.errors import Forbidden, Unauthenticated
from app.settings import Settings
from app.tokens import TokenVerifier, bearer_token


class Role(IntEnum):
    """Each may do what those before it may: look; drain; change rules."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Operator:
    """Who calls the admin API."""

    name: str
    role: Role


class Gatekeeper:
    """Reads the operator from a request's token."""

    def __init__(self, verifier: TokenVerifier, settings: Settings) -> None:
        self._verifier = verifier
        self._claim = settings.admin_role_claim

    async def operator(self, request: Request) -> Operator:
        """Raises Unauthenticated, Forbidden, MalformedRequest."""
        token = bearer_token(value for name, value in request.headers.raw if name == b"authorization")
        if token is None:
            raise Unauthenticated("A bearer token is required.")
        claims = await self._verifier.verify(token)
        role = claims.get(self._claim)
        if not isinstance(role, str) or role.upper() not in Role.__members__:
            raise Forbidden(f"The token has no role: its claim {self._claim!r} must be viewer, operator or admin.")
        return Operator(claims["sub"], Role[role.upper()])


def require(least: Role) -> Callable[[Request], Awaitable[Operator]]:
    """A dependency: the operator, if the role is high enough."""

    async def operator(request: Request) -> Operator:
        gatekeeper: Gatekeeper = request.app.state.gatekeeper
        found = await gatekeeper.operator(request)
        if found.role < least:
            raise Forbidden(f"This takes the role {least.name.lower()}; yours is {found.role.name.lower()}.")
        return found

    return operator


Viewer = Annotated[Operator, Depends(require(Role.VIEWER))]
Drainer = Annotated[Operator, Depends(require(Role.OPERATOR))]
Admin = Annotated[Operator, Depends(require(Role.ADMIN))]
