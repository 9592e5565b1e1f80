"""Authentication: who calls, by the client's address and the verified token."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cachetools import TTLCache

from app.errors import TooManyRequests, Unauthenticated
from app.identity.addresses import ClientAddresses
from app.identity.caller import TIME_CLAIMS, Caller, claim_text
from app.identity.foreign_tokens import names_issuer
from app.identity.issuer_keys import IssuerKey
from app.identity.tokens import TokenVerifier, VerifiedClaims, bearer_token
from app.process.lru_cache import TwoGenerationLRUCache
from app.settings import Settings
from app.web.headers import Headers

CACHE_SIZE = 20_000
TOKEN_CACHE_BYTES = 32 << 20
TOKEN_OVERHEAD_BYTES = 1024
FOREIGN_CACHE_BYTES = 8 << 20
MAX_ADDRESSES = 10_000
BAD_TOKEN_WINDOW_S = 60


class Credentials(Protocol):
    """The parts of a request that say who calls. `peer` is the address of the connection."""

    peer: str
    headers: Headers
    authorization: bytes | None


class BadTokenLimit:
    """Counts the bad tokens of each address in windows of a minute; it forgets addresses beyond MAX_ADDRESSES."""

    def __init__(self, max_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max = max_per_minute
        self._counts: TTLCache[str, list[int]] = TTLCache(MAX_ADDRESSES, BAD_TOKEN_WINDOW_S, timer=clock)

    def check(self, address: str) -> None:
        """Raises TooManyRequests if the address has sent too many bad tokens within a minute."""
        if self._counts.get(address, [0])[0] >= self._max:
            raise TooManyRequests("Too many bad tokens came from this address.", retry_after_s=BAD_TOKEN_WINDOW_S)

    def count(self, address: str) -> None:
        """Count one bad token. The count changes in place, because storing it again would begin a new window."""
        self._counts.setdefault(address, [0])[0] += 1


@dataclass(slots=True)
class _VerifiedToken:
    """A verified token, valid until `until_s` while its key is trusted, and its caller at the latest address."""

    until_s: float
    key: IssuerKey
    caller: Caller

    def caller_at(self, address: str) -> Caller:
        if self.caller.address != address:
            self.caller = Caller(self.caller.subject, self.caller.issuer, self.caller.claims, address)
        return self.caller


class Authenticator:
    """Finds the caller of a request. Verified tokens are cached until their `exp` or until their key is withdrawn."""

    def __init__(self, verifier: TokenVerifier, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._verifier = verifier
        self._clock = clock
        self._required = settings.auth == "required"
        self._passes_foreign = settings.auth == "passthrough"
        self._issuer = settings.jwt_issuer
        self._addresses = ClientAddresses(settings.trusted_proxies)
        self._anonymous: TwoGenerationLRUCache[str, Caller] = TwoGenerationLRUCache(CACHE_SIZE)
        self._tokens: TwoGenerationLRUCache[bytes, _VerifiedToken] = TwoGenerationLRUCache(TOKEN_CACHE_BYTES, _weight)
        self._foreign: TwoGenerationLRUCache[bytes, bool] = TwoGenerationLRUCache(FOREIGN_CACHE_BYTES, _weight)
        self._bad_tokens = BadTokenLimit(settings.bad_tokens_per_minute)

    def cached_caller(self, request: Credentials) -> Caller | None:
        """The caller, if the request has no token or one in the cache; None if a token must be verified.

        This is the hot path: nothing is awaited, decoded or parsed. Raises Unauthenticated, MalformedRequest.
        """
        address = self.address(request)
        if request.authorization is None:
            return self._without_token(address)
        token = self._tokens.get(request.authorization)
        if token is None and self._passes_foreign and self._foreign.get(request.authorization):
            return self._without_token(address)
        if token is None or not token.key.trusted or self._clock() >= token.until_s:
            return None
        return token.caller_at(address)

    async def authenticate(self, request: Credentials) -> Caller:
        """The caller; raises Unauthenticated, MalformedRequest, TooManyRequests, Unavailable."""
        return self.cached_caller(request) or await self._verified(request)

    def address(self, request: Credentials) -> str:
        """The text by which the client's address is counted (`counted_as`); raises MalformedRequest."""
        return self._addresses.client(request.peer, request.headers)

    def client_ip(self, request: Credentials) -> str:
        """The client's whole address; raises MalformedRequest."""
        return self._addresses.client_ip(request.peer, request.headers)

    def trusts(self, peer: str) -> bool:
        """Whether this peer is a trusted proxy, whose forwarding headers are believed."""
        return self._addresses.trusts(peer)

    async def _verified(self, request: Credentials) -> Caller:
        address = self.address(request)
        authorization = request.authorization or b""
        token = bearer_token([authorization])
        if token is None:
            return self._without_token(address)
        if self._passes_foreign and self._is_foreign(token):
            self._foreign.put(authorization, True)
            return self._without_token(address)
        self._bad_tokens.check(address)
        try:
            verified = await self._verifier.verified(token)
        except Unauthenticated:
            self._bad_tokens.count(address)
            raise
        cached = _cacheable(verified, address)
        self._tokens.put(authorization, cached)
        return cached.caller

    def _is_foreign(self, token: str) -> bool:
        return self._issuer is None or not names_issuer(token, self._issuer)

    def _without_token(self, address: str) -> Caller:
        if self._required:
            raise Unauthenticated("A bearer token is required.")
        caller = self._anonymous.get(address)
        if caller is None:
            caller = Caller(None, None, {}, address)
            self._anonymous.put(address, caller)
        return caller


def _cacheable(verified: VerifiedClaims, address: str) -> _VerifiedToken:
    """Keep only those claims that rules can count, as text."""
    texts = ((name, claim_text(value)) for name, value in verified.claims.items() if name not in TIME_CLAIMS)
    claims = {name: text for name, text in texts if text is not None}
    return _VerifiedToken(verified.claims["exp"], verified.key, Caller(claims["sub"], claims["iss"], claims, address))


def _weight(authorization: bytes, _: object) -> int:
    """Estimate the bytes that an entry takes: the header, its claims if it has any, and a fixed overhead."""
    return 2 * len(authorization) + TOKEN_OVERHEAD_BYTES
