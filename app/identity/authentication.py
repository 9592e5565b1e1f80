"""Who asks: the client's address, and the verified token's subject."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cachetools import TTLCache

from app.errors import TooManyRequests, Unauthenticated
from app.identity.addresses import ClientAddresses
from app.identity.caller import Caller
from app.identity.issuer_keys import IssuerKey
from app.identity.tokens import TokenVerifier, Verified, bearer_token
from app.process.lru_cache import TwoGenerationLRUCache
from app.settings import Settings
from app.web.headers import Headers

CACHE_SIZE = 20_000
TOKEN_CACHE_BYTES = 32 << 20
TOKEN_OVERHEAD_BYTES = 1024
COUNTED = 10_000
MINUTE_S = 60


class Credentials(Protocol):
    """What is looked at of a request: the address that speaks to us, and its headers, of which one is named."""

    peer: str
    headers: Headers
    authorization: bytes | None


class BadTokens:
    """The bad tokens of each address, minute by minute; an address is forgotten rather than memory run out."""

    def __init__(self, most_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most_per_minute
        self._counts: TTLCache[str, list[int]] = TTLCache(COUNTED, MINUTE_S, timer=clock)

    def refuse(self, address: str) -> None:
        """Raises TooManyRequests where this minute's are too many."""
        if self._counts.get(address, [0])[0] >= self._most:
            raise TooManyRequests("Too many bad tokens came from this address.", retry_after_s=MINUTE_S)

    def count(self, address: str) -> None:
        """One more. In place: setting the entry anew would begin its minute anew."""
        self._counts.setdefault(address, [0])[0] += 1


@dataclass(slots=True)
class _Bearer:
    """A verified token: until when and by which key it stands, and its caller as last seen, at one address."""

    until_s: float
    key: IssuerKey
    caller: Caller

    def at(self, address: str) -> Caller:
        if self.caller.address != address:
            self.caller = Caller(self.caller.subject, self.caller.issuer, self.caller.claims, address)
        return self.caller


class Authenticator:
    """Says who asks; verified tokens are remembered, never past their `exp` nor their key's withdrawal."""

    def __init__(self, verifier: TokenVerifier, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._verifier = verifier
        self._clock = clock
        self._required = settings.auth == "required"
        self._addresses = ClientAddresses(settings.trusted_proxies)
        self._anonymous: TwoGenerationLRUCache[str, Caller] = TwoGenerationLRUCache(CACHE_SIZE)
        self._bearers: TwoGenerationLRUCache[bytes, _Bearer] = TwoGenerationLRUCache(TOKEN_CACHE_BYTES, _weight)
        self._bad = BadTokens(settings.bad_tokens_per_minute)

    def known(self, request: Credentials) -> Caller | None:
        """The caller, where nothing is to be verified: without a token, or with one seen before; None elsewhere.

        The hot path: no wait, nothing decoded or parsed. Raises Unauthenticated, MalformedRequest.
        """
        address = self.address(request)
        if request.authorization is None:
            return self._without_token(address)
        bearer = self._bearers.get(request.authorization)
        if bearer is None or not bearer.key.trusted or self._clock() >= bearer.until_s:
            return None
        return bearer.at(address)

    async def caller(self, request: Credentials) -> Caller:
        """Raises Unauthenticated, MalformedRequest, TooManyRequests, Unavailable."""
        return self.known(request) or await self._verified(request)

    def address(self, request: Credentials) -> str:
        """The client's address as it is counted: IPv4 whole, IPv6 by its /64; raises MalformedRequest."""
        return self._addresses.client(request.peer, request.headers)

    def trusts(self, peer: str) -> bool:
        """Whether this peer is a proxy of ours, whose forwarding headers count."""
        return self._addresses.trusts(peer)

    async def _verified(self, request: Credentials) -> Caller:
        address = self.address(request)
        authorization = request.authorization or b""
        token = bearer_token([authorization])
        if token is None:
            return self._without_token(address)
        self._bad.refuse(address)
        try:
            verified = await self._verifier.verified(token)
        except Unauthenticated:
            self._bad.count(address)
            raise
        bearer = _bearer(verified, address)
        self._bearers.put(authorization, bearer)
        return bearer.caller

    def _without_token(self, address: str) -> Caller:
        if self._required:
            raise Unauthenticated("A bearer token is required.")
        caller = self._anonymous.get(address)
        if caller is None:
            caller = Caller(None, None, {}, address)
            self._anonymous.put(address, caller)
        return caller


def _bearer(verified: Verified, address: str) -> _Bearer:
    """Of the claims only what rules can name is kept."""
    claims = {name: value for name, value in verified.claims.items() if isinstance(value, str)}
    return _Bearer(verified.claims["exp"], verified.key, Caller(claims["sub"], claims["iss"], claims, address))


def _weight(authorization: bytes, _: _Bearer) -> int:
    """Bytes in memory, roughly: the header, the claims that it held, and what is around them."""
    return 2 * len(authorization) + TOKEN_OVERHEAD_BYTES
