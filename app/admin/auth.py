"""Who may do what in the admin API: a bearer token of its own audience, and a role."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from app.errors import Forbidden, Unauthenticated
from app.identity.tokens import TokenVerifier, bearer_token
from app.settings import Settings


class Role(IntEnum):
    """Each may do what those before it may: look; drain; change rules."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


_ROLES = {role.name.lower(): role for role in Role}


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
        if not isinstance(role, str) or role not in _ROLES:
            raise Forbidden(f"The token has no role: its claim {self._claim!r} must be viewer, operator or admin.")
        return Operator(claims["sub"], _ROLES[role])


SCHEME = HTTPBearer(
    scheme_name="operator",
    bearerFormat="JWT",
    description="A token of the admin API's own audience, with a role. The role named is the least that will do.",
    auto_error=False,
)


async def operator_of(scopes: SecurityScopes, request: Request, _: Annotated[object, Security(SCHEME)]) -> Operator:
    """Who asks, if the role is high enough. Raises Unauthenticated, Forbidden, MalformedRequest."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    operator = await gatekeeper.operator(request)
    least = max(_ROLES[name] for name in scopes.scopes)
    if operator.role < least:
        raise Forbidden(f"This takes the role {least.name.lower()}; yours is {operator.role.name.lower()}.")
    return operator


Viewer = Annotated[Operator, Security(operator_of, scopes=["viewer"])]
Drainer = Annotated[Operator, Security(operator_of, scopes=["operator"])]
Admin = Annotated[Operator, Security(operator_of, scopes=["admin"])]
"""Parameters of routes. They come before those that read the request: nobody without a role is told what is wrong."""
