"""The reply of one script is lost between the queue Redis and who asked: what was done is done, once."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha1
from math import inf
from pathlib import Path
from typing import Any

import pytest

from app.redis_wire.scripts import source
from app.settings import Settings
from tests.support.account import Account, account, final_jobs
from tests.support.draining import RULE, SHORT, nothing_is_held
from tests.support.fault_proxy import Cut, proxied
from tests.support.ledger import Client, Ledger
from tests.support.system import System, running
from tests.support.waiting import eventually

RATE, JOBS, EVERY, LOST, LEASES_LOST = 40, 120, 4, 3, 10
MORE_JOBS = 10
"""What is sent at once where too few replies were lost: how busy the machine is decides how many jobs share a call."""

MOST_JOBS = 10 * JOBS
FAST = RULE | {"drain": {"limit": RATE, "window_seconds": 1}}
LONG_LEASES = {"PENSTOCK_LEASE_S": "30"}
"""A worker that a busy machine holds up for longer than its lease sends twice, which is about something else."""

FEW_JOBS_A_CALL = {"PENSTOCK_MAX_IN_FLIGHT": "5"}
"""A worker that a busy machine holds up leases jobs seconds ahead: all of them by one call, if it may have so many."""


def reply_of(script: str, after_bytes: int = 0) -> Cut:
    return Cut(sha_of(script), EVERY, after_bytes)


def sha_of(script: str) -> bytes:
    return sha1(source("app.queue", script).encode(), usedforsecurity=False).hexdigest().encode()


async def send_all(system: System, ledger: Ledger, query: str = "", status: int = 0) -> Client:
    """All but the first, which is within the limit; then the app server answers `status`, if that is given."""
    client = Client(system, "u", ledger)
    assert await client.send(0) is None
    await system.http.put(f"{system.upstream}/-/status/{status}")
    for number in range(1, JOBS + 1):
        await client.send(number, "/{user}/{number}" + query)
    return client


def check(system: System, found: Account, sent: int = JOBS) -> None:
    jobs = [entry["job"] for entry in found.promised]
    assert len(set(jobs)) == len(jobs) == sent, "a request that was repeated is the same job"
    assert {arrival.job for arrival in found.arrivals} == set(jobs), "and no job runs that nobody knows of"
    found.assert_slots(system, RATE, 1)
    found.assert_order()


@pytest.mark.parametrize("after_bytes", [0, 7], ids=["all_of_it", "but_its_beginning"])
async def test_of_enqueue(settings: Settings, tmp_path: Path, after_bytes: int) -> None:
    """The caller gets 503 and asks again with its idempotency key: the same job, sent once."""
    async with (
        proxied(settings.queue_redis_url) as (url, proxy),
        running(settings, tmp_path, edges=0, record_slots=True, **SHORT | LONG_LEASES) as system,
    ):
        await system.ready(system.edge(PENSTOCK_QUEUE_REDIS_URL=url))
        await system.put_rule("r", **FAST)
        await system.rule_is_known("r", "u")
        proxy.cut = reply_of("enqueue", after_bytes)
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(JOBS + 1):
            await client.send(number)
        lost = proxy.cut.done
        assert lost >= JOBS // EVERY, "replies were lost"
        of_requests = Counter(number_of(request) for request in proxy.cut.lost)
        assert client.refused.keys() == {503}
        assert of_requests <= client.refused_numbers, "the caller of each was told that it was not accepted"
        found = await account(system, ledger)
        check(system, found)
        assert found.duplicates == 0


def number_of(request: bytes) -> int:
    """The number in the target of the request that an edge stores with these bytes."""
    [number] = re.findall(rb"/u/(\d+)", request)
    return int(number)


@pytest.mark.parametrize("script", ["take", "lease", "settle"])
async def test_of_a_worker(settings: Settings, tmp_path: Path, script: str) -> None:
    """Not one is sent twice: what was leased unheard of had not been sent, what was settled unheard of is final."""
    async with proxied(settings.queue_redis_url) as (url, proxy), worker_behind(settings, tmp_path, url) as system:
        ledger = Ledger(tmp_path / "promises.jsonl")
        # A job whose lease nobody heard of waits until that ends, and the next of its flow with it.
        proxy.cut = replace(reply_of(script), most=LEASES_LOST if script == "lease" else inf)
        client, sent = await send_all(system, ledger), JOBS
        found = await account(system, ledger)
        while proxy.cut.done < LOST:
            assert sent < MOST_JOBS, f"replies were lost: {proxy.cut.done}, of {proxy.cut.seen} calls"
            for number in range(sent + 1, sent + 1 + MORE_JOBS):
                await client.send(number)
            sent += MORE_JOBS
            found = await account(system, ledger)
        check(system, found, sent)
        print(f"{script}: {proxy.cut.done} replies lost, {proxy.cut.seen} calls, {sent} jobs")
        assert found.duplicates == 0
        await nothing_is_held(system, proxy)


async def test_of_retry(settings: Settings, tmp_path: Path) -> None:
    """Each attempt fails, and the answer to saying so is lost: no attempt is made twice, and three are enough."""
    attempts = 3
    rule = FAST | {"queue": {"max_attempts": attempts}}
    async with (
        proxied(settings.queue_redis_url) as (url, proxy),
        worker_behind(settings, tmp_path, url, rule) as system,
    ):
        ledger = Ledger(tmp_path / "promises.jsonl")
        proxy.cut = reply_of("retry")
        await send_all(system, ledger, "?status=500")
        found = await account(system, ledger, may_fail=True)
        print(f"retry: {proxy.cut.done} replies lost, {proxy.cut.seen} calls")
        assert proxy.cut.done >= LOST, "replies were lost"
        assert set(found.statuses) == {"failed"}
        assert {job["attempts"] for job in found.outcomes.values()} == {attempts}
        # Scripts that are called at once share a round trip: a lease may be lost along, which counts as an attempt.
        each = [(arrival.job, arrival.attempt) for arrival in found.arrivals]
        assert len(set(each)) == len(each), "no attempt is made twice"
        assert len(each) > JOBS * attempts / 2
        await nothing_is_held(system, proxy)


async def test_of_unlease(settings: Settings, tmp_path: Path) -> None:
    """App servers that say "not now" hold their jobs: they go back to their flow, and their worker forgets them."""
    async with proxied(settings.queue_redis_url) as (url, proxy), worker_behind(settings, tmp_path, url) as system:
        ledger = Ledger(tmp_path / "promises.jsonl")
        cut = proxy.cut = Cut(sha_of("release"))
        await send_all(system, ledger, status=503)
        await eventually(lambda: cut.done >= 1, 30, "replies were lost")
        proxy.cut = None
        await system.http.put(f"{system.upstream}/-/status/0")
        jobs = await final_jobs(system, [entry for entry in ledger.read() if "user" in entry], 60)
        print(f"release: {cut.done} replies lost, {cut.seen} calls")
        assert {job["status"] for job in jobs.values()} == {"succeeded"}
        await nothing_is_held(system, proxy)


@asynccontextmanager
async def worker_behind(
    settings: Settings, tmp_path: Path, url: str, rule: dict[str, Any] = FAST
) -> AsyncIterator[System]:
    """A running system whose worker reaches the queue Redis by this URL alone."""
    async with running(settings, tmp_path, workers=0, record_slots=True, **SHORT) as system:
        await system.ready(system.worker(PENSTOCK_QUEUE_REDIS_URL=url, **FEW_JOBS_A_CALL))
        await system.put_rule("r", **rule)
        await system.rule_is_known("r", "u")
        yield system
