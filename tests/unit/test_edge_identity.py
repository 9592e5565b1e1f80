"""Whose address counts, and how many bad tokens of it."""

from typing import Any

import aiohttp
import pytest

from app.edge.identity import BadTokens, Identity
from app.edge.request import Body, Request
from app.errors import MalformedRequest, TooManyRequests
from app.settings import Settings
from app.tokens import TokenVerifier


def request(peer: str, *forwarded_for: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded_for]
    return Request("GET", b"/", ("/",), headers, "http", peer, False, Body(receive, empty=True))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("1.2.3.4", [], "1.2.3.4"),
        ("1.2.3.4", ["9.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["6.6.6.6", "9.9.9.9, 10.0.0.2"], "9.9.9.9"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 10.0.0.2"], "10.0.0.2"),
        ("::ffff:10.0.0.1", ["::ffff:9.9.9.9"], "9.9.9.9"),
        ("::ffff:1.2.3.4", [], "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["2001:db8:1:2::1"], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
    ],
)
async def test_addresses(peer: str, forwarded_for: list[str], address: str) -> None:
    settings = Settings.model_validate({"trusted_proxies": "10.0.0.0/8"})
    async with aiohttp.ClientSession() as session:
        identity = Identity(TokenVerifier(settings, session, "penstock"), settings)
        assert identity.address(request(peer, *forwarded_for)) == address
        with pytest.raises(MalformedRequest):
            identity.address(request(""))


def test_bad_tokens_are_counted_by_the_minute() -> None:
    now = 0.0
    bad = BadTokens(3, clock=lambda: now)
    for _ in range(10):  # one every half a minute, for five minutes: never too many
        bad.refuse("a")
        bad.count("a")
        now += 30
    for _ in range(3):
        bad.count("b")
    with pytest.raises(TooManyRequests):
        bad.refuse("b")
    bad.refuse("c")
    now += 60
    bad.refuse("b")
