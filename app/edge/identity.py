"""Who asks: the client's address, and the verified token's subject."""

import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from cachetools import LRUCache, TTLCache

from app.edge.request import Request
from app.errors import MalformedRequest, TooManyRequests, Unauthenticated
from app.rules.match import Caller
from app.settings import Settings
from app.tokens import TokenVerifier

CACHED = 10_000
MINUTE_S = 60
IPV6_PREFIX = 64


class BadTokens:
    """The bad tokens of each address, minute by minute; an address is forgotten rather than memory run out."""

    def __init__(self, most_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most_per_minute
        self._counts: TTLCache[str, list[int]] = TTLCache(CACHED, MINUTE_S, timer=clock)

    def refuse(self, address: str) -> None:
        """Raises TooManyRequests where this minute's are too many."""
        if self._counts.get(address, [0])[0] >= self._most:
            raise TooManyRequests("Too many bad tokens came from this address.", retry_after_s=MINUTE_S)

    def count(self, address: str) -> None:
        """One more. In place: setting the entry anew would begin its minute anew."""
        self._counts.setdefault(address, [0])[0] += 1


class Identity:
    """Says who asks; verified tokens are remembered, never past their `exp`."""

    def __init__(self, verifier: TokenVerifier, settings: Settings) -> None:
        self._verifier = verifier
        self._required = settings.auth == "required"
        self._trusted = settings.trusted_proxies
        self._verified: LRUCache[str, tuple[dict[str, Any], float]] = LRUCache(CACHED)
        self._bad = BadTokens(settings.bad_tokens_per_minute)

    async def caller(self, request: Request) -> Caller:
        """Raises Unauthenticated, MalformedRequest, TooManyRequests."""
        address = self.address(request)
        token = bearer_token(value for name, value in request.headers if name == b"authorization")
        if token is None:
            if self._required:
                raise Unauthenticated("A bearer token is required.")
            return Caller(None, None, {}, address)
        claims = await self._claims(token, address)
        return Caller(claims["sub"], claims["iss"], claims, address)

    def address(self, request: Request) -> str:
        """The client's address as it is counted: IPv4 whole, IPv6 by its /64."""
        ip = _parse(request.peer)
        if ip is None:  # the connection ended before its address was asked for
            raise MalformedRequest("The client has no address.")
        if self._trusted and self.trusts(request.peer):
            ip = self._behind_proxies(ip, request)
        if ip.version == 4:
            return str(ip)
        return str(ip_network((ip, IPV6_PREFIX), strict=False))

    def trusts(self, peer: str) -> bool:
        """Whether this peer is a proxy of ours, whose forwarding headers count."""
        ip = _parse(peer)
        return ip is not None and any(ip in network for network in self._trusted)

    def _behind_proxies(self, peer: IPv4Address | IPv6Address, request: Request) -> IPv4Address | IPv6Address:
        """Right to left: the first that is not a proxy of ours."""
        named = [value for name, value in request.headers if name == b"x-forwarded-for"]
        nearest = peer
        for text in reversed(b",".join(named).decode("latin-1").split(",")):
            ip = _parse(text.strip())
            if ip is None:
                break
            nearest = ip
            if not any(ip in network for network in self._trusted):
                break
        return nearest

    async def _claims(self, token: str, address: str) -> dict[str, Any]:
        known = self._verified.get(token)
        if known is not None and known[1] > time.time():
            return known[0]
        self._bad.refuse(address)
        try:
            claims = await self._verifier.verify(token)
        except Unauthenticated:
            self._bad.count(address)
            raise
        self._verified[token] = (claims, claims["exp"])
        return claims


def bearer_token(values: Iterable[bytes]) -> str | None:
    """The token of `Authorization: Bearer …`; None without one, or with another scheme. Raises MalformedRequest."""
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


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip
