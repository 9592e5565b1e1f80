"""Who calls the admin API: the operator and the role that a bearer token names."""

from dataclasses import dataclass
from enum import IntEnum

from fastapi import Request

from app.errors import Forbidden, Unauthenticated
from app.identity.tokens import TokenVerifier, bearer_token
from app.settings import Settings


class Role(IntEnum):
    """What an operator may do. Each role includes those below it."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


ROLES = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True)
class Operator:
    """A verified caller of the admin API."""

    name: str
    role: Role


class OperatorAuthenticator:
    """Finds out which operator sent a request. Tokens have an audience of their own, PENSTOCK_ADMIN_AUDIENCE."""

    def __init__(self, verifier: TokenVerifier, settings: Settings) -> None:
        self._verifier = verifier
        self._claim = settings.admin_role_claim

    async def operator(self, request: Request) -> Operator:
        """Return the operator that the token names.

        Raises Unauthenticated without a valid token, Forbidden for a token without a role, MalformedRequest, and
        Unavailable while the issuer's keys are unknown.
        """
        token = bearer_token(value for name, value in request.headers.raw if name == b"authorization")
        if token is None:
            raise Unauthenticated("A bearer token is required.")
        claims = await self._verifier.verify(token)
        role = claims.get(self._claim)
        if not isinstance(role, str) or role not in ROLES:
            raise Forbidden(f"The token has no role: its claim {self._claim!r} must be viewer, operator or admin.")
        return Operator(claims["sub"], ROLES[role])
