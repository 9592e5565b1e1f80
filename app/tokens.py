"""Verifying tokens: strictly, with the issuer's published keys."""

import asyncio
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import aiohttp
import jwt
import orjson
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.errors import Unauthenticated, Unavailable
from app.settings import Settings

log = structlog.get_logger()

MAX_TOKEN_BYTES = 16_384
MAX_JWKS_BYTES = 1 << 20
UNKNOWN_KID_PAUSE_S = 10.0
NO_KEYS_PAUSE_S = 1.0
FETCH_TIMEOUT_S = 5.0

_JWKS_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class Jwks:
    """The issuer's keys by `kid`, kept while the issuer is away."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._keys: dict[str | None, dict[str, Any]] = {}
        self._fetched_at_s = -UNKNOWN_KID_PAUSE_S
        self._fetching = asyncio.Lock()

    async def prefetch(self) -> None:
        """Ask for the keys before a token needs them; the issuer may be away."""
        await self._fetch()

    async def key(self, kid: str | None) -> dict[str, Any] | None:
        """The key of this id, asking the issuer for one that is not known, at most every 10 s. Raises Unavailable."""
        if kid not in self._keys:
            await self._fetch()
        if not self._keys:
            raise Unavailable("The issuer's keys are not known yet.")
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        async with self._fetching:
            pause_s = UNKNOWN_KID_PAUSE_S if self._keys else NO_KEYS_PAUSE_S
            if time.monotonic() - self._fetched_at_s < pause_s:
                return
            self._fetched_at_s = time.monotonic()
            try:
                timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
                async with self._session.get(self._url, timeout=timeout, headers=_JWKS_HEADERS) as response:
                    response.raise_for_status()
                    self._keys = _by_kid(orjson.loads(await _whole(response))["keys"]) or self._keys
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
                log.warning("jwks_not_fetched", url=self._url, error=str(error) or type(error).__name__)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """All of it, however many packets it came in; ValueError where it is too large to be a key set."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_JWKS_BYTES:
            raise ValueError("the key set is too large")
    return body


def _by_kid(keys: list[Any]) -> dict[str | None, dict[str, Any]]:
    """A single key may go without being named by the token."""
    usable = [key for key in keys if isinstance(key, dict) and _is_for_signatures(key)]
    found: dict[str | None, dict[str, Any]] = {key["kid"]: key for key in usable if isinstance(key.get("kid"), str)}
    if len(usable) == 1:
        found[None] = usable[0]
    return found


def _is_for_signatures(key: dict[str, Any]) -> bool:
    return key.get("use", "sig") == "sig" and key.get("kty") in ("EC", "RSA", "OKP")


class TokenVerifier:
    """Verifies compact JWTs of one issuer for one audience."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, audience: str) -> None:
        self._jwks = Jwks(str(settings.jwks_url), session) if settings.jwks_url else None
        self._issuer = settings.jwt_issuer
        self._audience = audience
        self._algorithms = frozenset(settings.jwt_algorithms)
        self._leeway_s = settings.jwt_leeway_s

    async def prefetch(self) -> None:
        """Ask the issuer for its keys before the first token comes; no error where it is away."""
        if self._jwks is not None:
            await self._jwks.prefetch()

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a valid token; raises Unauthenticated, or Unavailable where no key was ever obtained."""
        header = _header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise _bad("its algorithm is not allowed")
        if "crit" in header or "b64" in header:
            raise _bad("it asks for extensions that are not understood")
        kid = header.get("kid")
        if self._jwks is None or self._issuer is None:
            raise _bad("no issuer is configured")
        if kid is not None and not isinstance(kid, str):
            raise _bad("its kid is no string")
        key = await self._jwks.key(kid)
        if key is None or not _fits(algorithm, key):
            raise _bad("its key is not known or does not fit its algorithm")
        return self._claims(token, algorithm, key)

    def _claims(self, token: str, algorithm: str, key: dict[str, Any]) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                PyJWK.from_dict(key, algorithm).key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except PyJWTError as error:
            raise _bad(str(error)) from error
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise _bad("a claim, or its key, is malformed") from error
        _require_types(claims)
        return claims


def _header(token: str) -> dict[str, Any]:
    parts = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN_BYTES else None
    if parts is None or not all(_canonical(part) for part in parts.groups()):
        raise _bad("it is not a compact JWT")
    _json_object(parts[2])  # the claims are PyJWT's to judge, once they are known to be JSON that we could write again
    return _json_object(parts[1])


def _json_object(part: str) -> dict[str, Any]:
    """Stricter than PyJWT: no NaN, and no lone surrogate, which no key or header could be made of later."""
    try:
        found = orjson.loads(_decode(part))
    except ValueError as error:
        raise _bad("it holds no JSON") from error
    if not isinstance(found, dict):
        raise _bad("it holds no JSON object")
    return found


def _decode(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _canonical(part: str) -> bool:
    """Base64url can write the same bytes in several ways; only one is accepted."""
    try:
        return urlsafe_b64encode(_decode(part)).rstrip(b"=").decode() == part
    except ValueError:
        return False


def _fits(algorithm: str, key: dict[str, Any]) -> bool:
    if key.get("alg", algorithm) != algorithm:
        return False
    if algorithm in _CURVES:
        return key["kty"] == "EC" and key.get("crv") == _CURVES[algorithm]
    if algorithm == "EdDSA":
        return key["kty"] == "OKP" and key.get("crv") in {"Ed25519", "Ed448"}
    return bool(key["kty"] == "RSA")


def _require_types(claims: dict[str, Any]) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _bad(f"its {name} is no number")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise _bad("its sub is no text")


def _bad(why: str) -> Unauthenticated:
    return Unauthenticated(f"The token is not valid: {why}.", invalid_token=True)
