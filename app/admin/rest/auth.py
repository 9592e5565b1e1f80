"""The role that each route requires, as a parameter of the route."""

from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from app.admin.operators import ROLES, Operator
from app.admin.rest.dependencies import AdminPartsOf

SCHEME = HTTPBearer(
    scheme_name="operator",
    bearerFormat="JWT",
    description="A token with the audience of the admin API and a role. Each route names the lowest role it accepts.",
    auto_error=False,
)


async def require_role(
    scopes: SecurityScopes, request: Request, parts: AdminPartsOf, _: Annotated[object, Security(SCHEME)]
) -> Operator:
    """Return the operator if the role is high enough. Raises Unauthenticated, Forbidden, MalformedRequest."""
    authorization = [value for name, value in request.headers.raw if name == b"authorization"]
    operator = await parts.authenticator.operator(authorization, "rest")
    operator.require(max(ROLES[name] for name in scopes.scopes))
    return operator


AsViewer = Annotated[Operator, Security(require_role, scopes=["viewer"])]
AsOperator = Annotated[Operator, Security(require_role, scopes=["operator"])]
AsAdmin = Annotated[Operator, Security(require_role, scopes=["admin"])]
"""Parameters of routes. They come before the parameters that read the request, so that a caller without the role does
not learn what is wrong with the request."""
