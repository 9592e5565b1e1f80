"""What an edge remembers of its callers is bounded, however many there are."""

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.edge.denial_cache import DenialCache
from app.edge.limit_checker import LimitChecker
from app.edge.metrics import EdgeMetrics
from app.edge.poll_limit import PollLimit
from app.errors import TooManyRequests
from app.identity.addresses import ClientAddresses
from app.identity.authentication import TOKEN_OVERHEAD_BYTES, Authenticator, BadTokenLimit
from app.identity.caller import Caller
from app.identity.identity_token import IdentityTokens
from app.identity.issuer_keys import IssuerKey
from app.identity.tokens import TokenVerifier, VerifiedClaims
from app.jobs.model import owner_of
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge, Policy
from app.limiter.redis_limiter import RedisLimiter
from app.redis_wire.scripts import Script, Scripts
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.rules.match import Match
from app.rules.model import parse_rule
from app.settings import Settings
from app.web.headers import Headers

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


async def stays_bounded_meanwhile(remember: Callable[[int], Awaitable[object]]) -> None:
    """The same of what must be awaited."""
    for number in range(BOUND):
        await remember(number)
    before = held_bytes()
    for number in range(BOUND, BOUND + MORE):
        await remember(number)
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


def two_rules() -> tuple[ActiveRule, ActiveRule]:
    each = {"limit": 5, "window_seconds": 60, "key_value": "*"}
    user = {"rule_id": "u", "key_type": "user", "on_limit": "defer"} | each
    return ActiveRule(parse_rule(user), 1), ActiveRule(parse_rule({"rule_id": "a", "key_type": "ip"} | each), 1)


def test_limit_checks() -> None:
    unused: Any = None
    metrics = EdgeMetrics(CollectorRegistry())
    checker = LimitChecker(unused, unused, unused, metrics, DenialCache(), unused, callers=BOUND)
    user, address = two_rules()

    def checked(number: int) -> None:
        caller = f"user:subject-{number}"
        checker.check(
            (Match(user, caller, caller), Match(address, f"ip:10.0.{number >> 8}.{number & 255}", caller)), []
        )

    stays_bounded(checked)


async def test_packed_calls_of_the_limiter() -> None:
    limiter = RedisLimiter(cast(Scripts, AllowingScripts()), callers=BOUND)
    policy = Policy(1, 3600, 1, 1)

    async def decided(number: int) -> None:
        assert (await limiter.decide((Charge(f"counter:{{r|user:{number}}}", policy),))).allowed

    await stays_bounded_meanwhile(decided)


class AllowingScripts:
    """Stands in for a Redis that allows every request."""

    def script(self, name: str) -> Script:
        return Script(f"-- {name}")

    async def run(self, script: object, key: str, packed: bytes) -> list[int]:
        return [1, 0, 0, 0, 0, 0]


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.identity.addresses.CACHE_SIZE", BOUND)
    addresses = ClientAddresses([])
    stays_bounded(lambda n: addresses.client(f"2001:db8:{n >> 16:x}:{n & 0xFFFF:x}::1", []))


def test_callers_with_and_without_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.identity.addresses.CACHE_SIZE", BOUND)
    monkeypatch.setattr("app.identity.authentication.CACHE_SIZE", BOUND)
    authenticator = Authenticator(cast(TokenVerifier, TrustingVerifier()), Settings())
    stays_bounded(lambda n: authenticator.cached_caller(Request(f"10.0.{n >> 8}.{n & 255}")))


async def test_verified_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    token_bytes = 400
    monkeypatch.setattr(
        "app.identity.authentication.TOKEN_CACHE_BYTES", BOUND * (2 * token_bytes + TOKEN_OVERHEAD_BYTES)
    )
    authenticator = Authenticator(cast(TokenVerifier, TrustingVerifier()), Settings())

    async def called(number: int) -> None:
        token = f"Bearer {number:x}-".ljust(token_bytes, "x").encode()
        caller = await authenticator.authenticate(Request("10.0.0.1", authorization=token))
        assert caller.subject == token.decode()[7:]

    before = held_bytes()
    for number in range(BOUND):
        await called(number)
    full = held_bytes()
    assert full - before < BOUND * (2 * token_bytes + TOKEN_OVERHEAD_BYTES), (
        "the weight of a token is no less than it is"
    )
    for number in range(BOUND, BOUND + MORE):
        await called(number)
    assert held_bytes() - full < SLACK_BYTES


@dataclass
class Request:
    """What the authenticator reads of a request."""

    peer: str
    headers: Headers = field(default_factory=list)
    authorization: bytes | None = None


class TrustingVerifier:
    """Stands in for a verifier to which every token is valid."""

    async def verified(self, token: str) -> VerifiedClaims:
        claims = {"sub": token, "iss": "".join(["issu", "er"]), "exp": 1e12, "iat": 1.0}
        return VerifiedClaims(claims, IssuerKey.__new__(IssuerKey))


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

    await stays_bounded_meanwhile(asked)


class HeaderRules(NoRules):
    """Stands in for a Redis whose index says that rules count by two headers, and for some values of one of them."""

    def hgetall(self, name: str) -> None:
        self._asked.append({b"header:x-api-key*": b"1", b"header:x-api-key=": b"1", b"secret:x-partner*": b"1"})


@pytest.mark.parametrize("length", [20, 1000])
async def test_header_values_that_clients_make_up(length: int) -> None:
    """Each is another caller's counter; and none of them replaces what is remembered of callers without them."""
    settings = Settings(rule_cache_size=BOUND, key_headers=("x-api-key", "x-partner"), key_secret="k" * 32)
    rules = RuleCache(cast(Redis, HeaderRules()), settings)
    caller, other = (Caller(None, None, {}, f"192.0.2.{n}") for n in (1, 2))

    async def asked(number: int) -> None:
        value = b"%0*d" % (length, number)
        assert await rules.applicable(caller, "GET", ["/"], [(b"x-api-key", value), (b"x-partner", value)]) == ()

    await rules.applicable(other, "GET", ["/"], [(b"accept", b"*/*")])
    await stays_bounded_meanwhile(asked)
    assert rules.cached_applicable(other, "GET", ["/"], [(b"accept", b"*/*")]) == ()
    assert rules._entries.get("rule:ip:192.0.2.2") is not None, "what is known outlives an outage of Redis"
