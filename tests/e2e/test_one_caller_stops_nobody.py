"""Nothing one caller does delays another's: not a flood, not polling, not large bodies, not a limit of his own."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from app.jobs.model import StoredRequest, owner_of
from app.limiter.keys import descriptor
from app.process.lifecycle import cancel
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, FrozenCharge
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.bounds import assert_arrived_in_order
from tests.support.system import Answer, System, running
from tests.support.waiting import eventually

MOST_CPU_US = 5000
"""What a call of a script of the queue may take on average."""

MOST_US = 200_000
"""What the slowest one may take. A flood once made one take 15 s."""

LOOKS_EVERY_S = 0.02

EACH_USER: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": 1000, "window_seconds": 1},
}
SHARED: dict[str, Any] = {"key_type": "ip", "key_value": "0.0.0.0/0", "limit": 9, "on_limit": "defer"}


class Watch:
    """Looks at what scripts cost the queue Redis.

    Its slowlog has those that took long from their beginning to their end, also where the machine did not run Redis for
    a while. So a look asks for the slowlog and for the CPU time at once, again and again: what took long was slow if
    Redis has worked as long since the look before.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._before = (0.0, 0)
        self._seen_us = 0.0
        self._one_look = asyncio.Lock()
        self._slow: list[tuple[float, list[tuple[int, bytes]]]] = []

    async def begin(self) -> None:
        await self._redis.config_set("slowlog-log-slower-than", MOST_US)
        await self._redis.slowlog_reset()
        self._before = await self._used()
        await self._look()
        self._slow = []

    async def go_on(self) -> None:
        """Look until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(LOOKS_EVERY_S)

    async def _look(self) -> None:
        async with self._one_look, self._redis.pipeline(transaction=True) as at_once:
            at_once.info("cpu")
            at_once.slowlog_get(128)
            at_once.slowlog_reset()
            cpu, entries, _ = await at_once.execute()
            of_all = [(entry["duration"], entry["command"]) for entry in entries]
            scripts = [entry for entry in of_all if entry[1].upper().startswith(b"EVAL")]
            now_us = cpu_us(cpu)
            if scripts:
                self._slow.append((now_us - self._seen_us, scripts))
            self._seen_us = now_us

    async def _used(self) -> tuple[float, int]:
        """Microseconds of CPU, and how many scripts ran."""
        cpu, commands = await self._redis.info("cpu"), await self._redis.info("commandstats")
        calls = commands["cmdstat_evalsha"]["calls"] if "cmdstat_evalsha" in commands else 0
        return cpu_us(cpu), calls

    async def nothing_was_slow(self) -> None:
        await self._look()
        assert [(worked_us, scripts) for worked_us, scripts in self._slow if worked_us > MOST_US] == []
        (cpu_before, calls_before), (cpu, calls) = self._before, await self._used()
        each_us = (cpu - cpu_before) / (calls - calls_before)
        print(f"{calls - calls_before} calls of scripts took {each_us:.0f} us of CPU each")
        assert each_us < MOST_CPU_US


@pytest.fixture
async def watch(queue: Redis) -> AsyncIterator[Watch]:
    watch = Watch(queue)
    await watch.begin()
    looking = asyncio.create_task(watch.go_on())
    yield watch
    await cancel({looking})
    await queue.config_set("slowlog-log-slower-than", 10_000)


def cpu_us(info: dict[str, Any]) -> float:
    return float(info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6


async def know_rule(system: System, rule_id: str, user: str, **fields: Any) -> None:  # noqa: ANN401
    await system.put_rule(rule_id, **fields)
    await system.rule_is_known(rule_id, user)


async def post_all(system: System, user: str, targets: Sequence[str], at_once: int = 32) -> list[Answer]:
    """Many requests of one user, in their order as far as that many at once have one."""
    gate = asyncio.Semaphore(at_once)

    async def post(target: str) -> Answer:
        async with gate:
            return await system.request("POST", target, user)

    return list(await asyncio.gather(*(post(target) for target in targets)))


async def spend_live(system: System, user: str) -> None:
    """The one request that is within the limit."""
    assert (await system.request("POST", "/live", user)).status == 200


async def neighbours_go_on(system: System, name: str, count: int) -> list[tuple[str, str]]:
    """So many users whose first request is forwarded and whose second is deferred: (user, job)."""
    jobs = []
    for number in range(count):
        user = f"{name}-{number}"
        await spend_live(system, user)
        answer = await system.request("POST", f"/fine/{user}", user)
        assert answer.status == 202, answer.body
        jobs.append((user, answer.json()["id"]))
    return jobs


@pytest.mark.alone
async def test_a_flood_to_an_endpoint_that_names_a_date_is_bounded_and_blocks_nobody(
    settings: Settings, tmp_path: Path, watch: Watch
) -> None:
    async with running(settings, tmp_path) as system:
        await know_rule(system, "r", "flood", **EACH_USER)
        await spend_live(system, "flood")
        until_s = time.time() + 6
        date = quote(formatdate(until_s, usegmt=True))
        targets = [f"/busy/{number}?status=429&retry_after={date}" for number in range(1500)]
        answers = await post_all(system, "flood", targets)
        statuses = Counter(answer.status for answer in answers)
        assert statuses == {202: 1000, 429: 500}, "max_depth counts all jobs that are not final, whatever they wait for"
        before = await neighbours_go_on(system, "before", 5)
        await asyncio.sleep(until_s - time.time() + 0.5)  # the date has come: whatever returns is returning
        after = await neighbours_go_on(system, "after", 5)
        for user, job in before + after:
            assert (await system.ended(job, user))["status"] == "succeeded"
        [first, *_] = [answer.json()["id"] for answer in answers if answer.status == 202]
        assert (await system.job(first, "flood"))["attempts"] <= 1
        await watch.nothing_was_slow()


@pytest.fixture
def flows(queue: Redis, queueing: Scripts, settings: Settings) -> Flows:
    return Flows(queue, queueing, settings)


async def fill(flows: Flows, user: str, count: int) -> list[str]:
    """So many jobs of one user, as edges would have put them there; their ids."""
    await flows.prepare()
    rule = ActiveRule(parse_rule(EACH_USER | {"rule_id": "r", "queue": {"max_depth": count}}), 1)
    charges = (FrozenCharge("r", descriptor("user", user), 1),)
    deferral = Deferral(rule, charges, owner_of("test", user), StoredRequest("POST", b"/deep", [], b""))
    ids: list[str] = []
    while len(ids) < count:
        answers = await asyncio.gather(*(flows.enqueue(deferral) for _ in range(min(1000, count - len(ids)))))
        ids += [answer.job.id for answer in answers if isinstance(answer, Enqueued)]
    return ids


@pytest.mark.alone
async def test_lists_and_cancels_in_a_deep_flow_slow_nobody_down(
    settings: Settings, tmp_path: Path, flows: Flows, watch: Watch
) -> None:
    ids = await fill(flows, "deep", 30_000)
    async with running(settings, tmp_path, workers=0) as system:
        await know_rule(system, "r", "deep", **EACH_USER)
        await watch.begin()  # filling it is not what is looked at

        async def poll() -> int:
            target, seen = "/_penstock/jobs?limit=100", 0
            for _ in range(40):
                page = (await system.request("GET", target, "deep")).json()
                seen += len(page["jobs"])
                target = page["next"].removeprefix(system.url)
            return seen

        async def cancel() -> Counter[int]:
            middle = ids[10_000:10_060]
            answers = [await system.request("DELETE", f"/_penstock/jobs/{job}", "deep") for job in middle]
            return Counter(answer.status for answer in answers)

        *seen, canceled, neighbours = await asyncio.gather(
            poll(), poll(), poll(), cancel(), neighbours_go_on(system, "beside", 40)
        )
        assert seen == [4000] * 3
        assert canceled == {204: 60}
        assert len(neighbours) == 40
        last = await system.job(ids[-1], "deep")
        assert (last["status"], last["position"]) == ("queued", 30_000 - 60)
        await watch.nothing_was_slow()


async def test_the_bytes_of_one_flow_are_capped_and_others_have_room(settings: Settings, tmp_path: Path) -> None:
    rule = EACH_USER | {"queue": {"max_bytes": 100_000}}
    async with running(settings, tmp_path, workers=0, PENSTOCK_QUEUE_MAX_BYTES="300000") as system:
        await know_rule(system, "r", "ann", **rule)
        for user in ("ann", "bob", "cleo"):
            await spend_live(system, user)
        for hog in ("ann", "bob"):
            answers = [await system.request("POST", "/", hog, data=b"x" * 30_000) for _ in range(6)]
            assert [answer.status for answer in answers] == [202] * 3 + [429] * 3
            refused = answers[-1]
            assert "its queue holds too many bytes" in refused.json()["detail"]
            assert int(refused.headers["Retry-After"]) >= 1
            small = await system.request("POST", "/", hog, data=b"x" * 1000)
            assert small.status == 202, "what has room is accepted"
        for _ in range(3):
            assert (await system.request("POST", "/", "cleo", data=b"x" * 30_000)).status == 202


async def test_on_a_shared_counter_nobody_waits_behind_a_caller_whose_own_limit_is_spent(
    settings: Settings, tmp_path: Path
) -> None:
    hourly = EACH_USER | {"window_seconds": 3600, "drain": {"limit": 5, "window_seconds": 1}}
    async with running(settings, tmp_path, workers=0) as system:
        await system.put_rule("u", **hourly)
        await know_rule(system, "shared", "ann", **SHARED, window_seconds=3600)
        await system.rule_is_known("u", "ann")
        for _ in range(9):  # anonymous requests count for the shared rule only
            assert (await system.request("GET", "/")).status == 200
        anns = [(await system.request("POST", f"/ann/{number}", "ann")).json()["id"] for number in range(3)]
        others = {
            user: (await system.request("POST", f"/{user}", user)).json()["id"] for user in ("bob", "cleo", "dan")
        }
        assert {(await system.job(job, user))["rule_id"] for user, job in others.items()} == {"shared"}

        await system.ready(system.worker())
        await system.put_rule("shared", **SHARED, window_seconds=2)  # a change that makes all of them due
        for user, job in others.items():
            assert (await system.ended(job, user, 15))["status"] == "succeeded"
        assert (await system.ended(anns[0], "ann"))["status"] == "succeeded"

        async def waits_for_its_own_rule() -> bool:
            return bool((await system.job(anns[1], "ann"))["waiting_for"] == "u")

        await eventually(waits_for_its_own_rule, 10, "the job says what it waits for")
        waiting = await system.job(anns[1], "ann")
        assert (waiting["status"], waiting["position"], waiting["rule_id"]) == ("queued", 1, "shared")
        assert waiting["eta_seconds"] > 3000

        await system.put_rule("u", **(hourly | {"limit": 3600}))  # not the flow's rule, but one that its jobs cost
        for job in anns[1:]:
            assert (await system.ended(job, "ann", 10))["status"] == "succeeded"
        drained = [arrival for arrival in await system.arrivals() if arrival["job"]]
        assert_arrived_in_order(["/ann/1", "/ann/2"], drained[-2:])
