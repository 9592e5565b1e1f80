"""The steps of a job through its flow, for tests that take them one by one."""

from collections.abc import Iterable
from typing import Any, cast

from redis.asyncio import Redis

from app.jobs.model import StoredRequest, encode_request
from app.limiter.keys import descriptor
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, FrozenCharge, Lease, LeasedJob, TakenFlow, TakenRing, Wait
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from tests.support.waiting import eventually

LONG_US = 600_000_000
"""A flow lease that lasts for all of a test, however slow the machine is."""


def active(revision: int = 1, **fields: Any) -> ActiveRule:  # noqa: ANN401
    base = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60, "on_limit": "defer"}
    return ActiveRule(parse_rule(base | {"drain": {"limit": 10, "window_seconds": 1}} | fields), revision)


def deferral(number: int = 0, rule: ActiveRule | None = None, user: str = "u", **more: Any) -> Deferral:  # noqa: ANN401
    whom = descriptor("user", user)
    rule = rule or active()
    request = StoredRequest("POST", b"/x?%d" % number, [(b"content-type", b"text/plain")], b"body %d" % number)
    charges = more.pop("charges", (FrozenCharge(rule.rule_id, whom, 1),))
    return Deferral(rule, charges, more.pop("owner", "own"), request, **more)


REQUEST_BYTES = len(encode_request(deferral(0).request))


async def accepted(flows: Flows, it: Deferral) -> str:
    answer = await flows.enqueue(it)
    assert isinstance(answer, Enqueued)
    return answer.job.id


async def take(flows: Flows, lease_us: int = LONG_US) -> list[TakenFlow]:
    return [unit for unit in await take_units(flows, lease_us) if isinstance(unit, TakenFlow)]


async def take_units(flows: Flows, lease_us: int = LONG_US) -> list[TakenFlow | TakenRing]:
    return (await flows.take(0, 100, lease_us))[1]


async def lease(flows: Flows, flow: TakenFlow, n: int, keep_us: int = LONG_US) -> Lease:
    answer = await flows.lease(flow, n, consumer="c", keep_us=keep_us)
    assert answer is not None
    return answer


async def give_back(flows: Flows, flow: TakenFlow, due_in_us: int = 0) -> None:
    await flows.give_back(flow, Wait(due_in_us))


async def leased(flows: Flows) -> LeasedJob:
    """The first job that may be leased, as soon as there is one."""
    found: list[LeasedJob] = []

    async def look() -> bool:
        for flow in await take(flows):
            found.extend((await lease(flows, flow, 1)).jobs)
            await give_back(flows, flow)
        return bool(found)

    await eventually(look, 5.0, "a job may be leased")
    return found[0]


def ids(jobs: Iterable[LeasedJob]) -> list[str]:
    return [job.id for job in jobs]


async def pending(queue: Redis) -> int:
    return int((await queue.xpending(keys.prefix(0) + "jobs", "workers"))["pending"])


async def due_us(queue: Redis, flow: str) -> int:
    """When a flow of the usual priority is worth a look, by the clock of the queue Redis."""
    found = await queue.zscore(keys.prefix(0) + "due:0", flow)
    assert found is not None, f"{flow} is not due at any time"
    return int(found)


async def make_due(queue: Redis, flow: str) -> None:
    """Let the time at which a flow is worth a look be over, whoever has it now."""
    await queue.zadd(keys.prefix(0) + "due:0", {flow: 1}, xx=True)


async def idle_for(queue: Redis, idle_s: float) -> None:
    """Let all leased jobs have gone without an extension of their leases for so long, as if that time had passed."""
    stream = keys.jobs_stream(0)
    for entry in await queue.xpending_range(stream, "workers", "-", "+", 1000):
        consumer, entry_id = cast("bytes", entry["consumer"]), cast("bytes", entry["message_id"])
        await queue.xclaim(stream, "workers", consumer, 0, [entry_id], idle=int(idle_s * 1000), justid=True)


async def make_late(queue: Redis, job_id: str, flow: str) -> None:
    """Write a deadline of long ago into the header of a job, wherever it stands."""
    state = cast("bytes | None", await queue.hget(keys.prefix(0) + "state", job_id))
    if state is not None:
        line, _, header = state.partition(b"\n")
        await queue.hset(keys.prefix(0) + "state", job_id, line + b"\n" + _late(header))
    record = cast("bytes", await queue.get(keys.record(0, job_id)))
    await queue.set(keys.record(0, job_id), _late(record))
    await queue.zadd(keys.prefix(0) + "expiry", {flow: 1})
    await queue.hset(keys.prefix(0) + "flow:" + flow, "mixed_waits", "1")


def _late(header: bytes) -> bytes:
    words = header.split(b" ", 2)
    words[1] = b"1" * len(words[1])
    return b" ".join(words)
