"""Whose address counts, how many bad tokens of it, and what is remembered of whom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from app.clients import http_client
from app.errors import MalformedRequest, TooManyRequests
from app.identity.addresses import CACHE_SIZE
from app.identity.authentication import MAX_ADDRESSES, TOKEN_CACHE_BYTES, Authenticator, BadTokenLimit
from app.identity.issuer_keys import IssuerKey
from app.identity.tokens import TokenVerifier, VerifiedClaims
from app.process.lru_cache import TwoGenerationLRUCache
from app.settings import Settings
from app.web.headers import Headers


@dataclass
class Asked:
    peer: str
    headers: Headers
    authorization: bytes | None = None


def request(peer: str, *forwarded_for: str) -> Asked:
    return Asked(peer, [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded_for])


@asynccontextmanager
async def identity(verifier: Any = None, **changed: Any) -> AsyncIterator[Authenticator]:  # noqa: ANN401
    settings = Settings.model_validate({"trusted_proxies": "10.0.0.0/8, 2001:db8:ffff::/48"})
    async with http_client() as session:
        yield Authenticator(verifier or TokenVerifier(settings, session, "penstock"), settings, **changed)


ADDRESSES: list[tuple[str, list[str], str]] = [
    ("1.2.3.4", [], "1.2.3.4"),
    ("1.2.3.4", ["9.9.9.9"], "1.2.3.4"),
    ("1.2.3.4", ["10.0.0.1"], "1.2.3.4"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", [""], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
    ("10.0.0.1", ["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
    ("10.0.0.1", ["6.6.6.6", "9.9.9.9, 10.0.0.2"], "9.9.9.9"),
    ("10.0.0.1", ["6.6.6.6", "9.9.9.9", "10.0.0.2", "10.0.0.3"], "9.9.9.9"),
    ("10.0.0.1", ["6.6.6.6,10.0.0.9,9.9.9.9,\t10.0.0.2"], "9.9.9.9"),
    ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ("10.0.0.1", ["nonsense"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9, nonsense"], "10.0.0.1"),
    ("10.0.0.1", ["nonsense, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", ["9.9.9.9,"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9, , 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", ["9.9.9.9 10.0.0.2"], "10.0.0.1"),
    ("10.0.0.1", ["unknown"], "10.0.0.1"),
    ("10.0.0.1", ["_hidden"], "10.0.0.1"),
    ("10.0.0.1", ["999.1.1.1"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9"], "10.0.0.1"),
    ("10.0.0.1", ["09.9.9.9"], "10.0.0.1"),
    ("10.0.0.1", ["0x9.9.9.9"], "10.0.0.1"),
    ("10.0.0.1", ["151587081"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9/32"], "10.0.0.1"),
    ("10.0.0.1", ["for=9.9.9.9"], "10.0.0.1"),
    ("10.0.0.1", ['"9.9.9.9"'], "10.0.0.1"),
    ("10.0.0.1", ["\u00b9.9.9.9"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9" + " " * 100], "9.9.9.9"),
    ("10.0.0.1", ["9" * 10_000], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9:4711"], "9.9.9.9"),
    ("10.0.0.1", ["9.9.9.9:"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9:port"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9:123456"], "10.0.0.1"),
    ("10.0.0.1", ["9.9.9.9:4711, 10.0.0.2:80"], "9.9.9.9"),
    ("10.0.0.1", ["2001:db8:1:2::1"], "2001:db8:1:2::/64"),
    ("10.0.0.1", ["[2001:db8:1:2::1]"], "2001:db8:1:2::/64"),
    ("10.0.0.1", ["[2001:db8:1:2::1]:443"], "2001:db8:1:2::/64"),
    ("10.0.0.1", ["[2001:db8:1:2::1"], "10.0.0.1"),
    ("10.0.0.1", ["[2001:db8:1:2::1]443"], "10.0.0.1"),
    ("10.0.0.1", ["[2001:db8:1:2::1]:"], "10.0.0.1"),
    ("10.0.0.1", ["[9.9.9.9]"], "10.0.0.1"),
    ("10.0.0.1", ["[::ffff:9.9.9.9]:80"], "9.9.9.9"),
    ("10.0.0.1", ["9.9.9.9, " + ", ".join(["10.0.0.2"] * 20)], "9.9.9.9"),
    ("10.0.0.1", ["9.9.9.9, " + ", ".join(["10.0.0.2"] * 5000)], "10.0.0.2"),
    ("::ffff:10.0.0.1", ["::ffff:9.9.9.9"], "9.9.9.9"),
    ("::ffff:10.0.0.1", ["9.9.9.9, ::ffff:10.0.0.2"], "9.9.9.9"),
    ("::ffff:1.2.3.4", ["9.9.9.9"], "1.2.3.4"),
    ("::FFFF:0102:0304", [], "1.2.3.4"),
    ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
    ("2001:DB8:1:2::", [], "2001:db8:1:2::/64"),
    ("2001:db8:ffff:1::1", ["2001:db8:5:6:7::8"], "2001:db8:5:6::/64"),
    ("2001:db8:ffff:1::1", ["9.9.9.9, 2001:db8:ffff:2::1"], "9.9.9.9"),
    ("2001:db8:fffe:1::1", ["9.9.9.9"], "2001:db8:fffe:1::/64"),
    ("::1", [], "::/64"),
    ("fe80::1%eth0", [], "fe80::/64"),
    ("10.0.0.1", ["fe80::1%evil"], "fe80::/64"),
    ("10.0.0.1", ["fe80::1%" + "evil" * 100], "10.0.0.1"),
]


@pytest.mark.parametrize(("peer", "forwarded_for", "address"), ADDRESSES)
async def test_addresses(peer: str, forwarded_for: list[str], address: str) -> None:
    async with identity() as one:
        for _ in range(2):  # read, then remembered
            assert one.address(request(peer, *forwarded_for)) == address


@pytest.mark.parametrize("peer", ["", "unix:", "localhost"])
async def test_a_peer_without_an_address_is_nobody(peer: str) -> None:
    async with identity() as one:
        with pytest.raises(MalformedRequest):
            one.address(request(peer, "9.9.9.9"))
        assert not one.trusts(peer)


class Believer:
    """A verifier that believes everything, and counts."""

    def __init__(self, exp: float = 2000.0) -> None:
        self.exp = exp
        self.asked = 0
        self.key = IssuerKey({})

    async def verified(self, token: str) -> VerifiedClaims:
        self.asked += 1
        return VerifiedClaims({"sub": token, "iss": "i", "exp": self.exp, "tier": "gold", "many": ["x"] * 10}, self.key)


def bearing(token: str, peer: str = "1.2.3.4") -> Asked:
    authorization = b"Bearer " + token.encode()
    return Asked(peer, [(b"host", b"x"), (b"authorization", authorization)], authorization)


async def test_a_verified_token_is_not_verified_again_and_its_caller_is_the_same() -> None:
    believer = Believer()
    async with identity(believer, clock=lambda: 1000.0) as one:
        assert one.cached_caller(bearing("a")) is None
        caller = await one.authenticate(bearing("a"))
        assert (caller.subject, caller.issuer, caller.address) == ("a", "i", "1.2.3.4")
        assert caller.claims == {"sub": "a", "iss": "i", "tier": "gold"}
        assert one.cached_caller(bearing("a")) is caller
        assert await one.authenticate(bearing("a")) is caller
        elsewhere = one.cached_caller(bearing("a", "5.6.7.8"))
        assert elsewhere is not None
        assert (elsewhere.subject, elsewhere.claims, elsewhere.address) == ("a", caller.claims, "5.6.7.8")
        assert one.cached_caller(bearing("a", "5.6.7.8")) is elsewhere
        assert one.cached_caller(request("1.2.3.4")) is one.cached_caller(request("1.2.3.4")), (
            "nor are the anonymous made anew"
        )
        assert believer.asked == 1


async def test_a_remembered_token_ends_with_its_time_and_with_its_key() -> None:
    now_s, believer = 1000.0, Believer(exp=1500.0)
    async with identity(believer, clock=lambda: now_s) as one:
        await one.authenticate(bearing("a"))
        now_s = 1499.9
        assert one.cached_caller(bearing("a")) is not None
        now_s = 1500.0
        assert one.cached_caller(bearing("a")) is None
        now_s = 1000.0
        assert one.cached_caller(bearing("a")) is not None
        believer.key.trusted = False
        assert one.cached_caller(bearing("a")) is None
        believer.key = IssuerKey({})
        await one.authenticate(bearing("a"))
        assert believer.asked == 2
        assert one.cached_caller(bearing("a")) is not None


async def test_many_callers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an eighth of the memory that an edge has for it, and an eighth of the callers."""
    token_bytes, addresses = TOKEN_CACHE_BYTES // 8, CACHE_SIZE // 8
    monkeypatch.setattr("app.identity.authentication.TOKEN_CACHE_BYTES", token_bytes)
    monkeypatch.setattr("app.identity.authentication.CACHE_SIZE", addresses)
    monkeypatch.setattr("app.identity.addresses.CACHE_SIZE", addresses)
    believer = Believer()
    async with identity(believer, clock=lambda: 1000.0) as one:
        for n in range(5000):
            await one.authenticate(bearing(f"{n:0200}", f"9.{n >> 16}.{n >> 8 & 255}.{n & 255}"))
            one.cached_caller(request(f"8.{n >> 16}.{n >> 8 & 255}.{n & 255}"))
        assert 1250 < len(one._tokens) < 3125
        for n in range(250):
            await one.authenticate(bearing(f"{n:016000}"))
        remembered = one._tokens._young | one._tokens._old
        assert 12 < len(remembered) < 150, "large tokens weigh more"
        assert sum(map(len, remembered)) < token_bytes
        assert addresses / 4 < len(one._anonymous) <= addresses
        assert addresses / 4 < len(one._addresses._read) <= addresses
        assert believer.asked == 5250


def test_the_latest_are_remembered_and_never_more_than_may_be() -> None:
    recent: TwoGenerationLRUCache[int, str] = TwoGenerationLRUCache(100)
    for n in range(1000):
        recent.put(n, str(n))
        assert recent.get(0) == "0", "what is used stays"
        assert len(recent) <= 100
    assert [recent.get(n) for n in (998, 999, 500)] == ["998", "999", None]
    for _ in range(1000):
        recent.put(5, "again")
    assert recent.get(999) == "999", "one entry written often is one entry"
    heavy: TwoGenerationLRUCache[str, str] = TwoGenerationLRUCache(100, lambda key, value: len(key) + len(value))
    heavy.put("a", "x" * 50)
    assert heavy.get("a") is None, "too heavy alone"
    for n in range(100):
        heavy.put(str(n), "x" * 20)
        assert len(heavy) <= 4


async def test_bad_tokens_of_any_number_of_addresses_take_no_more_memory() -> None:
    bad = BadTokenLimit(3)
    for n in range(2 * MAX_ADDRESSES):
        bad.count(str(n))
    assert len(bad._counts) == MAX_ADDRESSES


def test_bad_tokens_are_counted_by_the_minute() -> None:
    now = 0.0
    bad = BadTokenLimit(3, clock=lambda: now)
    for _ in range(10):  # one every half a minute, for five minutes: never too many
        bad.check("a")
        bad.count("a")
        now += 30
    for _ in range(3):
        bad.count("b")
    with pytest.raises(TooManyRequests):
        bad.check("b")
    bad.check("c")
    now += 60
    bad.check("b")
