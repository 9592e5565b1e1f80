"""What an edge remembers of its callers is bounded, however many there are."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis

from app.edge.poll_limit import PollLimit
from app.errors import TooManyRequests
from app.identity.authentication import MAX_ADDRESSES, BadTokenLimit
from app.identity.caller import Caller
from app.identity.identity_token import IdentityTokens
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge, Policy
from app.rules.cache import RuleCache
from app.settings import Settings

SLACK_BYTES = 1 << 20


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def stays_bounded(remember: Callable[[int], object], bound: int, more: int, slack: int = SLACK_BYTES) -> None:
    """After `bound` callers, `more` others take no memory."""
    for number in range(bound):
        remember(number)
    before = held_bytes()
    for number in range(bound, bound + more):
        remember(number)
    assert held_bytes() - before < slack


def test_polls() -> None:
    limit = PollLimit(0.001)
    stays_bounded(lambda n: limit.spend(Caller(f"subject-{n}", "iss", {}, "192.0.2.1")), 10_000, 30_000)
    with pytest.raises(TooManyRequests):
        limit.spend(Caller(f"subject-{39_999}", "iss", {}, "192.0.2.1"))


def test_bad_tokens() -> None:
    bad = BadTokenLimit(3)

    def sent_one(number: int) -> None:
        address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64"
        bad.check(address)
        bad.count(address)

    stays_bounded(sent_one, MAX_ADDRESSES, 30_000)


def test_counters_of_this_edge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.limiter.local_limiter.MAX_COUNTERS", 10_000)
    limiter, policy = LocalLimiter(), Policy(1, 3600, 1, 1)
    stays_bounded(lambda n: limiter.decide([Charge(f"counter:{{r|user:{n}}}", policy)], 1), 10_000, 30_000)


def test_identity_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.identity.identity_token.CACHE_SIZE", 500)
    tokens = IdentityTokens(Ed25519PrivateKey.generate())
    stays_bounded(lambda n: tokens.token(("iss", f"subject-{n}")), 500, 2500)


class NoRules:
    """Stands in for a Redis with rules for nobody: it answers at once."""

    def pipeline(self, *, transaction: bool) -> "NoRules":
        self._asked: list[object] = []
        return self

    def get(self, name: str) -> None:
        self._asked.append(b"1" if name == "rules:version" else None)

    def hgetall(self, name: str) -> None:
        self._asked.append({})

    async def execute(self) -> list[object]:
        return self._asked


async def _each(remember: Callable[[int], Any], bound: int, more: int) -> None:
    for number in range(bound):
        await remember(number)
    before = held_bytes()
    for number in range(bound, bound + more):
        await remember(number)
    assert held_bytes() - before < SLACK_BYTES


async def test_rules_of_callers() -> None:
    rules = RuleCache(cast(Redis, NoRules()), Settings(rule_cache_size=1000))

    async def asked(number: int) -> None:
        caller = Caller(f"subject-{number}", "iss", {}, f"10.0.{number >> 8}.{number & 255}")
        assert await rules.applicable(caller, "GET", ["/"]) == ()

    await _each(asked, 1000, 5000)
