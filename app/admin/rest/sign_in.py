"""`/v1/sign-in` and `/v1/operator`: how operators sign in to the dashboard, and who is signed in.

The routes that begin a session are public: whoever calls them has no token yet.
"""

import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from app.admin.dashboard.sign_in import OidcAnswer, SignedIn
from app.admin.dashboard.tickets import TICKET_TTL_S
from app.admin.rest.auth import AsViewer
from app.admin.rest.bodies import body_as
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import BODY_PROBLEMS
from app.errors import InvalidInput
from app.http1.server.origin import origin_of
from app.identity.tokens import bearer_token
from app.web.headers import value_of
from app.web.openapi import json_request, problems

router = APIRouter(tags=["sign-in"])


class OidcSignIn(BaseModel):
    """How to sign in by OpenID Connect: by the authorization code flow with PKCE, `S256`."""

    authorization_endpoint: str
    client_id: str
    scope: str
    issuer: str


class SignInOptions(BaseModel):
    """How an operator can sign in beside pasting a token. `oidc` is null where no issuer is configured."""

    oidc: OidcSignIn | None


class Session(BaseModel):
    """A token of an operator, and when it expires."""

    token: str
    expires_at: datetime


class Ticket(BaseModel):
    """A ticket for the caller's token, which works once before it expires."""

    ticket: str
    expires_at: datetime


class OperatorDocument(BaseModel):
    """Who calls, by the token of the request."""

    name: str
    role: str = Field(json_schema_extra={"enum": ["viewer", "operator", "admin"]})
    expires_at: datetime


class TicketRedemption(BaseModel):
    """A ticket to redeem."""

    model_config = ConfigDict(extra="forbid")

    ticket: str = Field(min_length=1, max_length=128)


class OidcRedemption(BaseModel):
    """What an operator came back with from the issuer. `redirect_uri` is where the issuer sent the operator."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(min_length=1, max_length=8192)
    code_verifier: str = Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")
    redirect_uri: str = Field(min_length=1, max_length=2048)


@router.get("/sign-in", responses=problems(502, 503))
async def get_sign_in(parts: AdminPartsOf) -> SignInOptions:
    """Say how an operator can sign in. Everybody may ask."""
    found = await parts.sign_in.oidc_options()
    return SignInOptions(oidc=None if found is None else OidcSignIn.model_validate(found, from_attributes=True))


@router.post("/sign-in/tickets", status_code=201, responses=problems(400, 401, 403, 429, 503))
async def create_ticket(operator: AsViewer, request: Request, parts: AdminPartsOf) -> Ticket:
    """Make a ticket for the caller's own token. A link may hold it: it works once, within a minute."""
    token = bearer_token([value_of(request.scope["headers"], b"authorization") or b""])
    assert token is not None, "the operator was found by it"
    ticket = await parts.sign_in.issue_ticket(operator, token)
    return Ticket(ticket=ticket, expires_at=datetime.fromtimestamp(time.time() + TICKET_TTL_S, UTC))


@router.post(
    "/sign-in/ticket",
    responses=problems(400, 401, 403, 422, 429, 503, *BODY_PROBLEMS),
    openapi_extra=json_request(TicketRedemption.__name__),
)
async def redeem_ticket(
    request: Request, parts: AdminPartsOf, body: Annotated[TicketRedemption, Depends(body_as(TicketRedemption))]
) -> Session:
    """Sign in by a ticket. The answer is 401 if it was used already or is older than a minute."""
    return _session(await parts.sign_in.by_ticket(body.ticket, _address(request, parts)))


@router.post(
    "/sign-in/oidc",
    responses=problems(400, 401, 403, 404, 422, 429, 502, 503, *BODY_PROBLEMS),
    openapi_extra=json_request(OidcRedemption.__name__),
)
async def redeem_code(
    request: Request, parts: AdminPartsOf, body: Annotated[OidcRedemption, Depends(body_as(OidcRedemption))]
) -> Session:
    """Sign in by an authorization code of the issuer. The answer is 404 where no issuer is configured."""
    answer = OidcAnswer(body.code, body.code_verifier, body.redirect_uri)
    found = await parts.sign_in.by_oidc(answer, _origin(request, parts), parts.base_path, _address(request, parts))
    return _session(found)


@router.get("/operator", responses=problems(400, 401, 403, 503))
async def get_operator(operator: AsViewer) -> OperatorDocument:
    """Say who calls, with which role, and until when."""
    return OperatorDocument(
        name=operator.name,
        role=operator.role.name.lower(),
        expires_at=datetime.fromtimestamp(operator.expires_at_s, UTC),
    )


def _session(signed_in: SignedIn) -> Session:
    return Session(token=signed_in.token, expires_at=datetime.fromtimestamp(signed_in.operator.expires_at_s, UTC))


def _address(request: Request, parts: AdminPartsOf) -> str:
    """The address by which attempts are counted. Raises MalformedRequest."""
    return parts.addresses.client(_peer(request), request.scope["headers"])


def _origin(request: Request, parts: AdminPartsOf) -> str:
    """The dashboard's own origin. Raises InvalidInput if the request is from a page of another one."""
    origin = origin_of(request.scope, parts.addresses.trusts(_peer(request)))
    page = value_of(request.scope["headers"], b"origin")
    if page is not None and page.decode("latin-1").partition("://")[2] != origin.partition("://")[2]:
        raise InvalidInput(f"The page is not of this dashboard's origin, {origin}: a proxy must keep the Host header.")
    return origin


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""
