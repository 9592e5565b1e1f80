"""What an edge remembers of its callers is bounded, however many there are."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis

from app.edge.poll_limit import PollLimit
from app.errors import TooManyRequests
from app.identity.authentication import BadTokenLimit
from app.identity.caller import Caller
from app.identity.identity_token import IdentityTokens
from app.jobs.model import owner_of
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge, Policy
from app.rules.cache import RuleCache
from app.settings import Settings

BOUND = 1000
"""How many callers each part remembers here: fewer than in production, because tracing allocations is slow."""

MORE = 3000
SLACK_BYTES = 40 * MORE
"""Less than one key takes for each caller."""


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def stays_bounded(remember: Callable[[int], object]) -> None:
    """After `BOUND` callers, `MORE` others take no memory."""
    for number in range(BOUND):
        remember(number)
    before = held_bytes()
    for number in range(BOUND, BOUND + MORE):
        remember(number)
    assert held_bytes() - before < SLACK_BYTES


def test_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.edge.poll_limit.MAX_CALLERS", BOUND)
    monkeypatch.setattr("app.edge.poll_limit.owner_of", owner_of.__wrapped__)  # functools bounds its cache
    limit = PollLimit(0.001)
    stays_bounded(lambda n: limit.spend(Caller(f"subject-{n}", "iss", {}, "192.0.2.1")))
    with pytest.raises(TooManyRequests):
        limit.spend(Caller(f"subject-{BOUND + MORE - 1}", "iss", {}, "192.0.2.1"))


def test_bad_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.identity.authentication.MAX_ADDRESSES", BOUND)
    bad = BadTokenLimit(3)

    def sent_one(number: int) -> None:
        address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64"
        bad.check(address)
        bad.count(address)

    stays_bounded(sent_one)


def test_counters_of_this_edge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.limiter.local_limiter.MAX_COUNTERS", BOUND)
    limiter, policy = LocalLimiter(), Policy(1, 3600, 1, 1)
    stays_bounded(lambda n: limiter.decide([Charge(f"counter:{{r|user:{n}}}", policy)], 1))


def test_identity_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.identity.identity_token.CACHE_SIZE", BOUND)
    tokens = IdentityTokens(Ed25519PrivateKey.generate())
    stays_bounded(lambda n: tokens.token(("iss", f"subject-{n}")))


class NoRules:
    """Stands in for a Redis with rules for nobody: it answers at once."""

    def pipeline(self, *, transaction: bool) -> "NoRules":
        self._asked: list[object] = []
        return self

    def get(self, name: str) -> None:
        self._asked.append(b"1" if name == "rules:version" else None)

    def hgetall(self, name: str) -> None:
        self._asked.append({})

    def hmget(self, name: str, fields: list[str]) -> None:
        self._asked.append([None] * len(fields))

    async def execute(self) -> list[object]:
        return self._asked


async def test_rules_of_callers() -> None:
    rules = RuleCache(cast(Redis, NoRules()), Settings(rule_cache_size=BOUND))

    async def asked(number: int) -> None:
        caller = Caller(f"subject-{number}", "iss", {}, f"10.0.{number >> 8}.{number & 255}")
        assert await rules.applicable(caller, "GET", ["/"]) == ()

    for number in range(BOUND):
        await asked(number)
    before = held_bytes()
    for number in range(BOUND, BOUND + MORE):
        await asked(number)
    assert held_bytes() - before < SLACK_BYTES
