"""The issuer's published keys: fetched, kept while the issuer is away, and no longer trusted once it withdraws them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.errors import Unavailable

log = structlog.get_logger()

MAX_JWKS_BYTES = 1 << 20
MIN_RSA_BITS = 2048
UNKNOWN_KID_PAUSE_S = 10.0
NO_KEYS_PAUSE_S = 1.0
FETCH_TIMEOUT_S = 5.0
WAIT_TIMEOUT_S = 1.0
"""How long a token of an unknown key waits for the issuer, where other keys are known."""
MOST_WAITING = 1000

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_FORMS: dict[str, tuple[str, set[str | None]]] = {
    "ES256": ("EC", {"P-256"}),
    "ES384": ("EC", {"P-384"}),
    "ES512": ("EC", {"P-521"}),
    "EdDSA": ("OKP", {"Ed25519", "Ed448"}),
}
_RSA: tuple[str, set[str | None]] = ("RSA", {None})


class IssuerKey:
    """One published key. `trusted` ends when the issuer withdraws it, and with it all that it has signed."""

    def __init__(self, jwk: dict[str, Any]) -> None:
        self._jwk = jwk
        self._by_algorithm: dict[str, Any] = {}
        self.trusted = True

    @property
    def kid(self) -> str | None:
        """The name that tokens call it by."""
        kid = self._jwk.get("kid")
        return kid if isinstance(kid, str) else None

    def fitting(self, algorithm: str) -> Any | None:  # noqa: ANN401 - cryptography's key, of whatever kind
        """The key as this algorithm takes it; None where it is not for it, or is broken."""
        if algorithm not in self._by_algorithm:
            self._by_algorithm[algorithm] = self._parse(algorithm) if self._fits(algorithm) else None
        return self._by_algorithm[algorithm]

    def _fits(self, algorithm: str) -> bool:
        kty, curves = _FORMS.get(algorithm, _RSA)
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
    """The keys by `kid`. Asked for again every `refresh_s`, and for an unknown `kid` at most every 10 s."""

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
        self._asked_at_s = -UNKNOWN_KID_PAUSE_S
        self._asking: asyncio.Task[None] | None = None
        self._answered = False
        self._waiting = 0

    async def run(self) -> None:
        """Keep them as the issuer publishes them, from before the first token comes."""
        try:
            while True:
                await self._ask_again(FETCH_TIMEOUT_S)
                await asyncio.sleep(self._refresh_s if self._answered else self._pause_s)
        finally:
            if self._asking is not None:
                self._asking.cancel()

    async def key(self, kid: str | None) -> IssuerKey | None:
        """The key of this id; raises Unavailable where none was ever obtained."""
        found = self._by_kid.get(kid)
        if found is None and self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                await self._ask_again(WAIT_TIMEOUT_S if self._published else FETCH_TIMEOUT_S)
            finally:
                self._waiting -= 1
            found = self._by_kid.get(kid)
        if not self._published:
            raise Unavailable("The issuer's keys are not known yet.")
        return found

    @property
    def _pause_s(self) -> float:
        return UNKNOWN_KID_PAUSE_S if self._published else NO_KEYS_PAUSE_S

    async def _ask_again(self, timeout_s: float) -> None:
        """Unless it was asked a moment ago. Whoever comes while it is asked waits for the same answer, so long."""
        if self._asking is None:
            if self._clock() - self._asked_at_s < self._pause_s:
                return
            self._asked_at_s = self._clock()
            self._asking = asyncio.create_task(self._ask())
        await asyncio.wait({self._asking}, timeout=timeout_s)

    async def _ask(self) -> None:
        self._answered = False
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                self._client.stream("GET", self._url, headers=_HEADERS, follow_redirects=False) as response,
            ):
                response.raise_for_status()
                self._replace(_usable(orjson.loads(await _whole(response))))
            self._answered = True
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, KeyError, TypeError) as error:
            log.warning("jwks_not_fetched", url=self._url, error=str(error) or type(error).__name__)
        finally:
            self._asking = None

    def _replace(self, jwks: list[dict[str, Any]]) -> None:
        """A key that is published unchanged stays the same object, so that what it has signed stays known."""
        before = self._published
        named = {orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS): jwk for jwk in jwks}
        self._published = {text: before.get(text) or IssuerKey(jwk) for text, jwk in named.items()}
        for text in before.keys() - self._published.keys():
            before[text].trusted = False
        self._by_kid = {key.kid: key for key in self._published.values() if key.kid is not None}
        if len(self._published) == 1:  # a single key may go without being named by the token
            self._by_kid[None] = next(iter(self._published.values()))
        if before.keys() != self._published.keys():
            log.info("issuer_keys_changed", kids=[key.kid for key in self._published.values()])


async def _whole(response: httpx.Response) -> bytes:
    """The body as it was sent, without decoding any content coding; ValueError where it is too large for a key set."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_JWKS_BYTES:
            raise ValueError("the key set is too large")
    return bytes(body)


def _usable(key_set: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the issuer sent
    """ValueError where there are none: that is a broken issuer, not one that withdrew all its keys."""
    keys = [key for key in key_set["keys"] if isinstance(key, dict) and _is_for_signatures(key)]
    if not keys:
        raise ValueError("it publishes no key that signs")
    return keys


def _is_for_signatures(key: dict[str, Any]) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("use", "sig") == "sig"
        and key.get("kty") in ("EC", "RSA", "OKP")
        and isinstance(operations, list)
        and "verify" in operations
    )
