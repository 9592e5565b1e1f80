"""Verifies bearer tokens: strictly, with the issuer's published keys."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
from jwt.exceptions import PyJWTError

from app.errors import MalformedRequest, Unauthenticated
from app.identity.issuer_keys import IssuerKey, IssuerKeys
from app.settings import Settings
from app.web.strict_json import parse_json

MAX_TOKEN_BYTES = 16_384
MAX_SUBJECT_LENGTH = 1024
"""The maximum length of a rule's `key_value` too."""
END_OF_TIME_S = 253_402_300_800
"""The start of the year 10000. A later time is a mistake, such as milliseconds instead of seconds."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_UNDERSTOOD = frozenset({"crit", "b64", "zip", "enc"})


def bearer_token(values: Iterable[bytes]) -> str | None:
    """Read the token of `Authorization: Bearer`; None without the header or with another scheme.

    Raises MalformedRequest.
    """
    found = list(values)
    if not found:
        return None
    if len(found) > 1:
        raise MalformedRequest("The request has two Authorization headers.")
    scheme, separator, token = found[0].strip().partition(b" ")
    if scheme.lower() != b"bearer":
        if scheme.lower().startswith(b"bearer"):
            raise MalformedRequest("The token must follow `Bearer` and a space.")
        return None
    if not separator or not token.strip():
        raise MalformedRequest("The Authorization header has no token.")
    return token.strip().decode("latin-1")


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """The claims of a valid token, and the key that verified its signature."""

    claims: dict[str, Any]
    key: IssuerKey


class TokenVerifier:
    """Verifies compact JWTs of one issuer for one audience."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient, audience: str) -> None:
        url = settings.jwks_url
        self._keys = IssuerKeys(str(url), http, settings.jwks_refresh_s) if url else None
        self._issuer = settings.jwt_issuer
        self._audience = audience
        self._algorithms = frozenset(settings.jwt_algorithms)
        self._leeway_s = settings.jwt_leeway_s

    async def run(self) -> None:
        """Keep the issuer's keys up to date until cancelled; an issuer that can't be reached is no error."""
        if self._keys is not None:
            await self._keys.run()

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a valid token; raises Unauthenticated, or Unavailable if no keys were ever fetched."""
        return (await self.verified(token)).claims

    async def verified(self, token: str) -> VerifiedClaims:
        """The claims with the key, for callers that cache them: they are valid until `exp` while the key is trusted."""
        header = _header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise _bad("its algorithm is not allowed")
        kid = header.get("kid")
        if "kid" in header and not isinstance(kid, str):
            raise _bad("its kid is not a string")
        if self._keys is None or self._issuer is None:
            raise _bad("no issuer is configured")
        key = await self._keys.key(kid)
        public_key = key.for_algorithm(algorithm) if key is not None else None
        if key is None or public_key is None:
            raise _bad("its key is not known or does not fit its algorithm")
        return VerifiedClaims(self._claims(token, algorithm, public_key), key)

    def _claims(self, token: str, algorithm: str, key: Any) -> dict[str, Any]:  # noqa: ANN401 - cryptography's
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except PyJWTError as error:
            raise _bad(str(error)) from error
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise _bad("a claim is malformed") from error
        _require_types(claims)
        return claims


def _header(token: str) -> dict[str, Any]:
    """Read the header of a token, and check that the whole token is written in the one form that is accepted.

    Header fields that say where to find keys (`jku`, `x5u`, `x5c`, `jwk`) are ignored.
    """
    parts = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN_BYTES else None
    if parts is None:
        raise _bad("it is not a compact JWT")
    _json_object(parts[2])  # the claims are for PyJWT to judge, once they can be read in one way only
    found = _json_object(parts[1])
    content_type = found.get("cty", "")
    if _NOT_UNDERSTOOD & found.keys() or not isinstance(content_type, str) or content_type.lower().endswith("jwt"):
        raise _bad("it asks for extensions that are not understood")
    return found


def _base64url_decode(part: str) -> bytes:
    """Decode base64url. PyJWT refuses later what is not in canonical form."""
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise _bad("it is not base64url") from error


def _json_object(part: str) -> dict[str, Any]:
    """Parse a part of a token more strictly than PyJWT does."""
    text = _base64url_decode(part)
    try:
        found = parse_json(text)
    except ValueError as error:
        raise _bad("it does not contain valid JSON") from error
    if not isinstance(found, dict):
        raise _bad("it does not contain a JSON object")
    return found


def _require_types(claims: dict[str, Any]) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < END_OF_TIME_S:
            raise _bad(f"its {name} is no time in seconds")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH or _CONTROL.search(subject):
        raise _bad(f"its sub is no text of 1 to {MAX_SUBJECT_LENGTH} characters")


def _bad(why: str) -> Unauthenticated:
    return Unauthenticated(f"The token is not valid: {why}.", invalid_token=True)
