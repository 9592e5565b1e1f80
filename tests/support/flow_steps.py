"""The steps of a job through its flow, for tests that take them one by one."""

from typing import Any

from redis.asyncio import Redis

from app.jobs.model import StoredRequest, encode_request
from app.limiter.keys import descriptor
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, FrozenCharge, Lease, LeasedJob, TakenFlow
from app.rules.active import ActiveRule
from app.rules.model import parse_rule

LOOK = 100
LEASE_US = 200_000


def active(revision: int = 1, **fields: Any) -> ActiveRule:  # noqa: ANN401
    base = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60, "on_limit": "defer"}
    return ActiveRule(parse_rule(base | {"drain": {"limit": 10, "window_seconds": 1}} | fields), revision)


def deferral(number: int = 0, rule: ActiveRule | None = None, user: str = "u", **more: Any) -> Deferral:  # noqa: ANN401
    whom = descriptor("user", user)
    rule = rule or active()
    request = StoredRequest("POST", b"/x?%d" % number, [(b"content-type", b"text/plain")], b"body %d" % number)
    charges = more.pop("charges", (FrozenCharge(rule.rule_id, whom, 1),))
    return Deferral(rule, whom, charges, more.pop("owner", "own"), request, **more)


REQUEST_BYTES = len(encode_request(deferral(0).request))


async def accepted(flows: Flows, it: Deferral) -> str:
    answer = await flows.enqueue(it)
    assert isinstance(answer, Enqueued)
    return answer.job.id


async def take(flows: Flows) -> list[TakenFlow]:
    return (await flows.take(0, 100, LEASE_US, LOOK))[1]


async def lease(flows: Flows, flow: TakenFlow, n: int) -> Lease:
    answer = await flows.lease(flow, n, consumer="c", due_in_us=LEASE_US, look=LOOK)
    assert answer is not None
    return answer


async def give_back(flows: Flows, flow: TakenFlow, **more: Any) -> None:  # noqa: ANN401
    await flows.lease(flow, 0, consumer="c", due_in_us=more.pop("due_in_us", 0), look=LOOK, **more)


def ids(jobs: tuple[LeasedJob, ...]) -> list[str]:
    return [job.id for job in jobs]


async def pending(queue: Redis) -> int:
    return int((await queue.xpending(keys.prefix(0) + "jobs", "workers"))["pending"])
