"""Client addresses: the peer's, or the one that trusted proxies report, and how addresses are counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from app.errors import MalformedRequest
from app.process.lru_cache import TwoGenerationLRUCache
from app.web.headers import Headers

CACHE_SIZE = 20_000
MAX_PROXIES = 32
MAX_LENGTH = 64
IPV6_PREFIX = 64
MAPPED_PREFIX = 96
"""The length of `::ffff:0:0/96`, the network of IPv4-mapped IPv6 addresses."""


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """`counted` is the text by which it is counted, empty if there is no address. `trusted`: it is a trusted proxy."""

    counted: str
    trusted: bool
    ip: str
    """The whole address."""


NO_CLIENT_ADDRESS = ClientAddress("", trusted=False, ip="")


class ClientAddresses:
    """Reads addresses; each text is parsed once while it is in the cache."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(map(plain_network, trusted))
        self._read: TwoGenerationLRUCache[str, ClientAddress] = TwoGenerationLRUCache(CACHE_SIZE)

    def trusts(self, peer: str) -> bool:
        """Whether this peer is a trusted proxy, whose forwarding headers are believed."""
        return bool(self._trusted) and self._of(peer).trusted

    def client(self, peer: str, headers: Headers) -> str:
        """The text by which the client's address is counted; raises MalformedRequest."""
        return self._client(peer, headers).counted

    def client_ip(self, peer: str, headers: Headers) -> str:
        """The client's whole address; raises MalformedRequest."""
        return self._client(peer, headers).ip

    def _client(self, peer: str, headers: Headers) -> ClientAddress:
        address = self._of(peer)
        if not address.counted:  # the connection was closed before its address was read
            raise MalformedRequest("The client has no address.")
        return self._behind_proxies(address, headers) if address.trusted else address

    def _behind_proxies(self, nearest: ClientAddress, headers: Headers) -> ClientAddress:
        """Read X-Forwarded-For from right to left, up to the first address that is not a trusted proxy.

        If a text is no address, the client is whoever wrote it: the nearest address to the right of it.
        """
        named = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for text in reversed(named.decode("latin-1").rsplit(",", MAX_PROXIES)):
            address = self._of(_without_port(text.strip(" \t")))
            if not address.counted:
                break
            nearest = address
            if not address.trusted:
                break
        return nearest

    def _of(self, text: str) -> ClientAddress:
        known = self._read.get(text)
        if known is None:
            known = self._parse(text) if len(text) <= MAX_LENGTH else NO_CLIENT_ADDRESS
            if known.counted:
                self._read.put(text, known)
        return known

    def _parse(self, text: str) -> ClientAddress:
        try:
            ip = parse_address(text)
        except ValueError:
            return NO_CLIENT_ADDRESS
        return ClientAddress(counted_as(ip), any(ip in network for network in self._trusted), str(ip))


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Read an address; an IPv4-mapped IPv6 address is read as the IPv4 address. Raises ValueError."""
    ip = ip_address(text)
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def plain_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """The network of the addresses that `parse_address` reads: one of IPv4-mapped addresses is the IPv4 network."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_PREFIX:
        return network
    return IPv4Network((int(mapped), network.prefixlen - MAPPED_PREFIX))


def counted_as(ip: IPv4Address | IPv6Address) -> str:
    """The text by which a client's address is counted: IPv4 whole, IPv6 by its /64 (one subscriber has all of it)."""
    return str(ip) if isinstance(ip, IPv4Address) else str(IPv6Network((int(ip), IPV6_PREFIX), strict=False))


def _without_port(text: str) -> str:
    """Remove the port and brackets that some proxies write: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if text.startswith("["):
        inside, bracket, port = text[1:].partition("]")
        return inside if bracket and ":" in inside and _is_port_or_none(port) else ""
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host if _is_port_or_none(":" + port) else ""
    return text


def _is_port_or_none(text: str) -> bool:
    return text == "" or (text[0] == ":" and text[1:].isascii() and text[1:].isdigit() and len(text) <= 6)
