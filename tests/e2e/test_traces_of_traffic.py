"""What clients' traffic leaves behind: no key without an end, nobody's shape in a key, no memory that only grows."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.system import System, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("traces-of-traffic")]

DEFERS = {"key_type": "user", "limit": 1, "window_seconds": 5, "on_limit": "defer"}
DRAIN = {"limit": 50, "window_seconds": 1}

STRUCTURAL = {
    "cache": re.compile(
        rb"rules:(index|version|state|buckets|floor|epoch)|rule:[^:]+:.*"
    ),  # as many as operators wrote rules
    "queue": re.compile(
        rb"\{q\d+\}:(jobs|clock|priorities|revisions)"  # an empty stream with its group; a time; by priority; by rule
        rb"|\{q\d+\}:dead"  # dead letters that last: forgotten with their records
    ),
}

NASTY = [
    "*", "%2A", "{}", "{q0}", "a}{b", "a|user:victim", "victim|", "victim:", "user:victim",
    " victim", "VICTIM", "%76ictim", "vict\u0456m", "victim\u200b", "a;b c", "\\", '"', "'; DROP", "\u00e9", "e\u0301",
    "\U0001f4a9" * 40, "x" * 1_023, "x" * 1_024, "../../etc", "rules:version", "$(x)", "[a-z]", "?",
]  # fmt: skip

REFUSED = ["victim\n", "victim\0", "x" * 5_000]
"""No name at all: the token is not valid."""

GROWN_KB = 24_000
"""By how much an edge may grow over thousands of identities that it forgets again: what its allocator keeps."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def system(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(
        module_settings,
        tmp_path_factory.mktemp("traces"),
        PENSTOCK_RETRY_BASE_S="0.1",
        PENSTOCK_RULE_CACHE_SIZE="1000",
        PENSTOCK_RULES_TIMEOUT_MS="10000",  # a busy machine is no cache Redis that is away
        PENSTOCK_TRUSTED_PROXIES="127.0.0.0/8",
    ) as system:
        await system.put_rule("every", **DEFERS, key_value="*", drain=DRAIN, queue={"result_ttl_seconds": 60})
        await system.put_rule(
            "victim", key_type="user", key_value="victim", limit=7, window_seconds=60, algorithm="sliding_window"
        )
        await system.put_rule("shared", **DEFERS, key_value="shared")
        await system.put_rule(
            "sliding", **DEFERS, key_value="sliding", algorithm="sliding_window", queue={"max_attempts": 1}
        )
        await system.put_rule(
            "short", **DEFERS, key_value="short", drain=DRAIN, paused=True, queue={"max_wait_seconds": 1}
        )
        await system.put_rule("address", key_type="ip", key_value="*", limit=100_000, window_seconds=10)
        for rule, who in (("every", "anyone"), ("victim", "victim"), ("shared", "shared"), ("sliding", "sliding"),
                          ("short", "short"), ("address", "anyone")):  # fmt: skip
            await system.rule_is_known(rule, who)
        yield system


async def unending(url: str) -> set[bytes]:
    """The keys without a time to live."""
    async with Redis.from_url(url) as redis:
        names = [name async for name in redis.scan_iter(count=1000)]
        async with redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.pttl(name)
            return {name for name, ttl in zip(names, await pipeline.execute(), strict=True) if ttl == -1}


async def no_key_is_left_without_an_end(system: System) -> None:
    for store, url in (("cache", system.settings.cache_redis_url), ("queue", system.settings.queue_redis_url)):
        left = {name for name in await unending(url) if not STRUCTURAL[store].fullmatch(name)}
        assert not left, (store, left)


async def test_every_key_that_traffic_makes_has_an_end(system: System) -> None:
    jobs: dict[str, str] = {}
    for who in ("anyone", "shared", "sliding", "short", "victim"):
        for n in range(10):
            target = f"/varied/{n}" + ("?status=500" if who == "sliding" and n == 5 else "")
            headers = {"Idempotency-Key": f"key-{n}"} if n % 2 else {}
            answer = await system.request("POST", target, who, data=b"x" * 100, headers=headers)
            if answer.status == 202:
                jobs[answer.json()["id"]] = who
    for n in range(5):
        await system.request("GET", f"/anonymous/{n}", headers={"X-Forwarded-For": f"192.0.2.{n}"})
    assert set(jobs.values()) == {"anyone", "shared", "sliding", "short"}
    for who in ("shared", "sliding"):  # but for some they would take a minute
        for job in [job for job, owner in jobs.items() if owner == who][-7:]:
            await system.request("DELETE", f"/_penstock/jobs/{job}", who)
    ends = {(await system.ended(job, who, 60))["status"] for job, who in jobs.items()}
    assert ends == {"succeeded", "failed", "canceled"}
    await eventually(lambda: _settled(system), 30, "workers have nothing left to say")
    await no_key_is_left_without_an_end(system)


async def _settled(system: System) -> bool:
    async with Redis.from_url(system.settings.queue_redis_url) as redis:
        return not [name async for name in redis.scan_iter(match="*flow:*")]


@pytest.mark.parametrize("subject", NASTY, ids=lambda subject: ascii(subject)[:20])
async def test_a_strange_name_is_a_name(system: System, subject: str) -> None:
    """It has a budget, a flow, jobs and an answer of its own, whatever it looks like."""
    first = await system.request("POST", "/strange", subject)
    assert (first.status, first.headers["RateLimit-Policy"].split(";")[0]) == (200, '"every"')
    job = (await system.request("POST", "/strange", subject)).json()["id"]
    assert (await system.ended(job, subject, 60))["status"] == "succeeded"
    assert [one["id"] for one in (await system.request("GET", "/_penstock/jobs", subject)).json()["jobs"]] == [job]
    victim = (await system.request("GET", "/_penstock/limits", "victim")).json()["limits"]
    assert {one["rule_id"] for one in victim} == {"victim", "address"}
    await no_key_is_longer_than(system, 400)


@pytest.mark.parametrize("subject", REFUSED, ids=lambda subject: ascii(subject)[:20])
async def test_what_is_no_name_is_refused(system: System, subject: str) -> None:
    assert (await system.request("POST", "/strange", subject)).status == 401


async def no_key_is_longer_than(system: System, most: int) -> None:
    for url in (system.settings.cache_redis_url, system.settings.queue_redis_url):
        async with Redis.from_url(url) as redis:
            names = [bytes(name) async for name in redis.scan_iter(count=1000)]
            assert max(map(len, names)) <= most
            assert not [name for name in names if re.search(rb"[\x00-\x20\x7f-\xff]|\}.*\{|\{.*\{", name)]


async def test_no_identity_stays_in_an_edges_memory(system: System) -> None:
    """Twenty thousand callers, half of them with tokens: an edge that has forgotten one half is as large as before."""
    [edge] = [part for part in system.parts if part.role == "edge"]
    many = asyncio.Semaphore(32)

    async def call(number: int) -> None:
        async with many:
            address = (
                f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
                if number % 2
                else f"10.1.{number >> 8}.{number & 255}"
            )
            headers = {"X-Forwarded-For": address}
            if number % 2:
                headers |= system.auth(f"subject-{number}-{'x' * 60}")
            path = "/_penstock/limits" if number % 5 == 0 else "/memory"
            answer = await system.request("GET", path, headers=headers)
            assert answer.status == 200, answer

    async def rss_kb_after(numbers: range) -> int:
        await asyncio.gather(*map(call, numbers))
        status = await asyncio.to_thread(Path(f"/proc/{edge.process.pid}/status").read_text)
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])

    await rss_kb_after(range(4_000))
    before = await rss_kb_after(range(4_000, 8_000))
    after = await rss_kb_after(range(8_000, 20_000))
    print(before, after)
    assert after - before < GROWN_KB, (before, after)
    await no_key_is_left_without_an_end(system)
