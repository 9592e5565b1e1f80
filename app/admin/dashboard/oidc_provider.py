"""The OpenID Connect issuer: where operators sign in, and tokens for the codes that they come back with."""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
import structlog

from app.admin.dashboard.oidc_client import OidcClient
from app.errors import IssuerError, IssuerUnavailable, Unauthenticated
from app.identity.issuer_documents import FETCH_TIMEOUT_S, PLAIN_JSON, fetch_document, read_body
from app.web.excerpt import excerpt
from app.web.strict_json import parse_json

log = structlog.get_logger()

CONFIGURATION_PATH = "/.well-known/openid-configuration"
CONFIGURATION_TTL_S = 3600.0
PAUSE_S = 1.0
"""How long after a fetch that failed the next one begins."""

TOKEN_NAMES = ("access_token", "id_token")
CLIENT_ERRORS = frozenset(
    {"invalid_client", "invalid_request", "invalid_scope", "unauthorized_client", "unsupported_grant_type"}
)
"""What an issuer calls a client that is not configured as it expects (RFC 6749, 5.2)."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What is used of an issuer's configuration. `secret_in_form`: the client's secret goes into the form."""

    authorization: str
    token: str
    secret_in_form: bool


class OidcProvider:
    """Talks to one issuer for one client. Its configuration is fetched when it is needed and kept for an hour."""

    def __init__(
        self, client: OidcClient, http: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.client = client
        self._http = http
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._fetched_at_s = -CONFIGURATION_TTL_S
        self._endpoints: Endpoints | None = None
        self._failure: IssuerError | IssuerUnavailable | None = None

    async def endpoints(self) -> Endpoints:
        """Return the issuer's endpoints. Raises IssuerUnavailable, and IssuerError if they are not usable."""
        async with self._fetching:  # all callers wait for one fetch
            if self._is_due():
                self._fetched_at_s = self._clock()
                await self._fetch()
        if self._endpoints is None:
            raise self._failure or IssuerUnavailable("The issuer's configuration is not known yet.")
        return self._endpoints

    async def tokens(self, code: str, code_verifier: str, redirect_uri: str) -> list[str]:
        """Return the tokens for an authorization code: the access token and the ID token, as far as there are any.

        Raises Unauthenticated if the code is not valid, IssuerUnavailable and IssuerError.
        """
        endpoints, client = await self.endpoints(), self.client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": code_verifier,
            "redirect_uri": redirect_uri,
            "client_id": client.client_id,
        }
        headers = dict(PLAIN_JSON)
        if client.secret is not None and endpoints.secret_in_form:
            form["client_secret"] = client.secret
        elif client.secret is not None:
            headers["Authorization"] = _basic(client.client_id, client.secret)
        status, fields = await self._post(endpoints.token, form, headers)
        if status != 200:
            raise _refusal(status, fields)
        found = [fields[name] for name in TOKEN_NAMES if isinstance(fields.get(name), str)]
        if not found:
            raise IssuerError("The issuer answered the code without a token.")
        return found

    def _is_due(self) -> bool:
        interval_s = CONFIGURATION_TTL_S if self._failure is None else PAUSE_S
        return self._clock() - self._fetched_at_s >= interval_s

    async def _fetch(self) -> None:
        """Take over the configuration. One that was fetched before stays where the issuer cannot be reached."""
        url = self.client.issuer.rstrip("/") + CONFIGURATION_PATH
        try:
            self._endpoints = _endpoints_of(await fetch_document(self._http, url), self.client.issuer)
            self._failure = None
        except (httpx.TransportError, TimeoutError) as error:
            self._failure = IssuerUnavailable("The issuer cannot be reached.", _cause(error))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            self._failure = IssuerError(f"The issuer's configuration is not usable: {_without_body(error)}.")
        if self._failure is not None:
            log.warning("oidc_configuration_not_fetched", url=url, reason=str(self._failure))

    async def _post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Post a form; return the status and the JSON object of the answer, empty if there is none."""
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                self._http.stream("POST", url, data=form, headers=headers, follow_redirects=False) as response,
            ):
                return response.status_code, _object_of(await read_body(response))
        except (httpx.TransportError, TimeoutError) as error:
            log.warning("oidc_code_not_exchanged", url=url, error=str(error) or type(error).__name__)
            raise IssuerUnavailable("The issuer cannot be reached.", _cause(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise IssuerError("The issuer's answer is not usable.") from error


def _endpoints_of(document: Any, issuer: str) -> Endpoints:  # noqa: ANN401 - whatever the issuer sent
    """Read a configuration. Raises ValueError."""
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise ValueError("it does not name PENSTOCK_ADMIN_OIDC_ISSUER as its issuer")
    methods = document.get("token_endpoint_auth_methods_supported")
    return Endpoints(
        _endpoint(document, "authorization_endpoint", issuer),
        _endpoint(document, "token_endpoint", issuer),
        isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods,
    )


def _endpoint(document: Mapping[str, Any], name: str, issuer: str) -> str:
    """Read an address, which must be as safe as the issuer's own. Raises ValueError."""
    found = document.get(name)
    parts = urlsplit(found) if isinstance(found, str) else None
    schemes = {"https", urlsplit(issuer).scheme}
    if parts is None or parts.scheme not in schemes or not parts.hostname or parts.fragment:
        raise ValueError(f"its {name} is no address of {' or '.join(sorted(schemes))}")
    return parts.geturl()


def _object_of(body: bytes) -> dict[str, Any]:
    try:
        found = parse_json(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(status: int, fields: Mapping[str, Any]) -> Exception:
    """What to raise for an answer other than 200. Of the issuer's texts, only known words get to the caller."""
    error, description = fields.get("error"), excerpt(str(fields.get("error_description", "")))
    log.warning("oidc_code_refused", status=status, reason=excerpt(str(error)), error=description)
    if error == "invalid_grant":
        return Unauthenticated("The issuer does not accept the code: it was used already, or is too old.")
    if status >= 500 or status == 429:
        return IssuerUnavailable(f"The issuer answered the code with the status {status}.", "refused")
    if isinstance(error, str) and error in CLIENT_ERRORS:
        return IssuerError(f"The issuer refuses how the dashboard is configured there: {error}.")
    return IssuerError(f"The issuer answered the code with the status {status}.")


def _basic(client_id: str, secret: str) -> str:
    """The `Authorization` header of a client (RFC 6749, 2.3.1)."""
    both = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(both.encode()).decode()}"


def _cause(error: Exception) -> str:
    return "timeout" if isinstance(error, TimeoutError | httpx.TimeoutException) else "unreachable"


def _without_body(error: Exception) -> str:
    """What is wrong with an answer, without any of its text."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"its status is {error.response.status_code}"
    return "it is no JSON" if isinstance(error, UnicodeDecodeError) or type(error) is not ValueError else str(error)
