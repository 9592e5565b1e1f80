"""Who calls the admin API: the operator and the role that a bearer token names."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from app.audit.entry import Actor, Face
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
    """A verified caller of the admin API, and by which face of it the operator calls."""

    name: str
    role: Role
    face: Face = "rest"
    expires_at_s: float = math.inf
    """When the token expires, in Unix seconds: an answer that takes long ends then."""

    @property
    def actor(self) -> Actor:
        """The operator as the audit names those who change something."""
        return Actor(self.name, self.face)

    def require(self, role: Role) -> None:
        """Check that the operator has this role or a higher one. Raises Forbidden."""
        if self.role < role:
            raise Forbidden(
                f"This requires the role {role.name.lower()}; your token has the role {self.role.name.lower()}."
            )


class OperatorAuthenticator:
    """Finds out which operator calls, by either face. Tokens have an audience of their own, PENSTOCK_ADMIN_AUDIENCE."""

    def __init__(self, verifier: TokenVerifier, settings: Settings) -> None:
        self._verifier = verifier
        self._claim = settings.admin_role_claim

    async def operator(self, authorization: Iterable[bytes], face: Face) -> Operator:
        """Return the operator that the token names. `authorization`: the values of all headers of this name.

        Raises MalformedRequest, Unauthenticated without a token, and what `operator_of` raises.
        """
        token = bearer_token(authorization)
        if token is None:
            raise Unauthenticated("A bearer token is required.")
        return await self.operator_of(token, face)

    async def operator_of(self, token: str, face: Face) -> Operator:
        """Return the operator that a token names.

        Raises Unauthenticated for a token that is not valid, Forbidden for one without a role, and Unavailable while
        the issuer's keys are unknown.
        """
        claims = await self._verifier.verify(token)
        role = claims.get(self._claim)
        if not isinstance(role, str) or role not in ROLES:
            raise Forbidden(f"The token has no role: its claim {self._claim!r} must be viewer, operator or admin.")
        return Operator(claims["sub"], ROLES[role], face, float(claims["exp"]))
