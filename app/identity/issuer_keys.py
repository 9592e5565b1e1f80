"""The issuer's published keys (JWKS): fetched regularly, kept while the issuer is away, distrusted when withdrawn."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.errors import IssuerUnavailable
from app.identity.issuer_documents import FETCH_TIMEOUT_S, fetch_document

log = structlog.get_logger()

MIN_RSA_BITS = 2048
UNKNOWN_KID_PAUSE_S = 10.0
NO_KEYS_PAUSE_S = 1.0
WAIT_TIMEOUT_S = 1.0
"""How long a token with an unknown key waits for a fetch if other keys are known."""
MAX_WAITING = 1000

_KEY_TYPES: dict[str, tuple[str, set[str | None]]] = {
    "ES256": ("EC", {"P-256"}),
    "ES384": ("EC", {"P-384"}),
    "ES512": ("EC", {"P-521"}),
    "EdDSA": ("OKP", {"Ed25519", "Ed448"}),
}
_RSA: tuple[str, set[str | None]] = ("RSA", {None})


class IssuerKey:
    """One published key. `trusted` becomes false when the issuer withdraws the key, which ends the tokens it signed."""

    def __init__(self, jwk: dict[str, Any]) -> None:
        self._jwk = jwk
        self._by_algorithm: dict[str, Any] = {}
        self.trusted = True

    @property
    def kid(self) -> str | None:
        """The key id that tokens name; None if the issuer published none."""
        kid = self._jwk.get("kid")
        return kid if isinstance(kid, str) else None

    def for_algorithm(self, algorithm: str) -> Any | None:  # noqa: ANN401 - cryptography's key, of whatever kind
        """The key for use with this algorithm; None if it is for another algorithm, or is malformed."""
        if algorithm not in self._by_algorithm:
            self._by_algorithm[algorithm] = self._parse(algorithm) if self._fits(algorithm) else None
        return self._by_algorithm[algorithm]

    def _fits(self, algorithm: str) -> bool:
        kty, curves = _KEY_TYPES.get(algorithm, _RSA)
        curve = self._jwk.get("crv")
        named = curve if isinstance(curve, str) else None
        return self._jwk.get("alg", algorithm) == algorithm and self._jwk["kty"] == kty and named in curves

    def _parse(self, algorithm: str) -> Any | None:  # noqa: ANN401
        try:
            key = PyJWK.from_dict(self._jwk, algorithm).key
        except (PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            log.warning("issuer_key_unusable", kid=self.kid, error=str(error) or type(error).__name__)
            return None
        if getattr(key, "key_size", MIN_RSA_BITS) < MIN_RSA_BITS and self._jwk["kty"] == "RSA":
            log.warning("issuer_key_unusable", kid=self.kid, error="it is shorter than 2048 bits")
            return None
        return key


class IssuerKeys:
    """The keys by `kid`, fetched every `refresh_s` seconds, and for an unknown `kid` at most every 10 seconds."""

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        refresh_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._refresh_s = refresh_s
        self._clock = clock
        self._published: dict[bytes, IssuerKey] = {}
        self._by_kid: dict[str | None, IssuerKey] = {}
        self._fetched_at_s = -UNKNOWN_KID_PAUSE_S
        self._fetching: asyncio.Task[None] | None = None
        self._fetch_succeeded = False
        self._waiting = 0

    async def run(self) -> None:
        """Fetch the keys regularly until cancelled, the first time before any token comes."""
        try:
            while True:
                await self._refresh(FETCH_TIMEOUT_S)
                await asyncio.sleep(self._refresh_s if self._fetch_succeeded else self._pause_s)
        finally:
            if self._fetching is not None:
                self._fetching.cancel()

    async def key(self, kid: str | None) -> IssuerKey | None:
        """The key with this id, or None if the issuer has none; raises Unavailable if no keys were ever fetched."""
        found = self._by_kid.get(kid)
        if found is None and self._waiting < MAX_WAITING:
            self._waiting += 1
            try:
                await self._refresh(WAIT_TIMEOUT_S if self._published else FETCH_TIMEOUT_S)
            finally:
                self._waiting -= 1
            found = self._by_kid.get(kid)
        if not self._published:
            raise IssuerUnavailable("The issuer's keys are not known yet.")
        return found

    @property
    def _pause_s(self) -> float:
        return UNKNOWN_KID_PAUSE_S if self._published else NO_KEYS_PAUSE_S

    async def _refresh(self, timeout_s: float) -> None:
        """Fetch the keys unless that was done a moment ago. All callers wait for one fetch, for at most `timeout_s`."""
        if self._fetching is None:
            if self._clock() - self._fetched_at_s < self._pause_s:
                return
            self._fetched_at_s = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.wait({self._fetching}, timeout=timeout_s)

    async def _fetch(self) -> None:
        self._fetch_succeeded = False
        try:
            self._replace(_usable(await fetch_document(self._client, self._url)))
            self._fetch_succeeded = True
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, KeyError, TypeError) as error:
            log.warning("jwks_not_fetched", url=self._url, error=str(error) or type(error).__name__)
        finally:
            self._fetching = None

    def _replace(self, jwks: list[dict[str, Any]]) -> None:
        """Take over a new key set. A key that has not changed stays the same object, so cached tokens stay valid."""
        before = self._published
        named = {orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS): jwk for jwk in jwks}
        self._published = {text: before.get(text) or IssuerKey(jwk) for text, jwk in named.items()}
        for text in before.keys() - self._published.keys():
            before[text].trusted = False
        self._by_kid = {key.kid: key for key in self._published.values() if key.kid is not None}
        if len(self._published) == 1:  # with a single key, a token need not name it
            self._by_kid[None] = next(iter(self._published.values()))
        if before.keys() != self._published.keys():
            log.info("issuer_keys_changed", kids=[key.kid for key in self._published.values()])


def _usable(key_set: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the issuer sent
    """The keys for signatures. Raises ValueError if there are none, which means an issuer that is broken."""
    keys = [key for key in key_set["keys"] if isinstance(key, dict) and _is_for_signatures(key)]
    if not keys:
        raise ValueError("the key set has no key for signatures")
    return keys


def _is_for_signatures(key: dict[str, Any]) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("use", "sig") == "sig"
        and key.get("kty") in ("EC", "RSA", "OKP")
        and isinstance(operations, list)
        and "verify" in operations
    )
