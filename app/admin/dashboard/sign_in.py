"""Signing in to the dashboard: by OpenID Connect, or by a ticket that stands for a token."""

from dataclasses import dataclass

from app.admin.dashboard.attempts import SignInAttempts
from app.admin.dashboard.oidc_provider import OidcProvider
from app.admin.dashboard.tickets import Tickets
from app.admin.operators import Operator, OperatorAuthenticator
from app.errors import Forbidden, InvalidInput, NotFound, Unauthenticated

CALLBACK_PATH = "/sign-in/callback"
"""Where the issuer sends an operator back to, below the base path."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A token that was verified, and the operator that it names."""

    token: str
    operator: Operator


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """What a page needs to send an operator to the issuer."""

    authorization_endpoint: str
    client_id: str
    scope: str
    issuer: str


@dataclass(frozen=True, slots=True)
class OidcAnswer:
    """What an operator came back with from the issuer, and the address that the issuer sent the operator to."""

    code: str
    code_verifier: str
    redirect_uri: str


class SignIn:
    """The ways to sign in. `oidc` is None where no issuer is configured."""

    def __init__(
        self,
        authenticator: OperatorAuthenticator,
        tickets: Tickets,
        attempts: SignInAttempts,
        oidc: OidcProvider | None,
    ) -> None:
        self._authenticator = authenticator
        self._tickets = tickets
        self._attempts = attempts
        self._oidc = oidc

    async def oidc_options(self) -> OidcOptions | None:
        """Return how to sign in by OpenID Connect, if that is configured. Raises IssuerUnavailable, IssuerError."""
        if self._oidc is None:
            return None
        endpoints, client = await self._oidc.endpoints(), self._oidc.client
        return OidcOptions(endpoints.authorization, client.client_id, client.scope, client.issuer)

    async def issue_ticket(self, operator: Operator, token: str) -> str:
        """Return a ticket for the operator's own token. Raises TooManyRequests, SignInUnavailable."""
        return await self._tickets.issue(operator.name, token)

    async def by_ticket(self, ticket: str, address: str) -> SignedIn:
        """Redeem a ticket. Raises Unauthenticated, TooManyRequests, SignInUnavailable; and as `operator_of` does."""
        with self._attempts.attempt(address):
            token = await self._tickets.redeem(ticket)
            return SignedIn(token, await self._authenticator.operator_of(token, "rest"))

    async def by_oidc(self, answer: OidcAnswer, origin: str, base_path: str, address: str) -> SignedIn:
        """Exchange a code for a token that the admin API accepts.

        `origin`: that of the request. Raises NotFound without an issuer, InvalidInput, Unauthenticated, Forbidden,
        TooManyRequests, IssuerUnavailable, IssuerError.
        """
        if self._oidc is None:
            raise NotFound("No OpenID Connect issuer is configured: PENSTOCK_ADMIN_OIDC_ISSUER.")
        require_own(answer.redirect_uri, origin, base_path)
        with self._attempts.attempt(address):
            tokens = await self._oidc.tokens(answer.code, answer.code_verifier, answer.redirect_uri)
            return await self._first_accepted(tokens)

    async def _first_accepted(self, tokens: list[str]) -> SignedIn:
        """Return the first token of an operator. Issuers differ in whether the access token or the ID token is one.

        A token without a role says more about what is wrong than one that is not for the admin API.
        """
        refusals: list[Unauthenticated | Forbidden] = []
        for token in tokens:
            try:
                return SignedIn(token, await self._authenticator.operator_of(token, "rest"))
            except (Unauthenticated, Forbidden) as refusal:
                refusals.append(refusal)
        raise max(refusals, key=lambda refusal: isinstance(refusal, Forbidden))


def require_own(redirect_uri: str, origin: str, base_path: str) -> None:
    """Check that an address is the dashboard's own. Raises InvalidInput.

    A proxy that is not trusted may end TLS, so `https` is accepted beside the scheme of the request.
    """
    host = origin.partition("://")[2]
    own = [f"{one}{base_path}{CALLBACK_PATH}" for one in (origin, f"https://{host}")]
    if redirect_uri not in own:
        raise InvalidInput(f"redirect_uri: must be the address of this dashboard, {own[0]}")
